// What a model expected and read at each place of a text, and what is read at each depth.

const NUM_ALTERNATIVES = 5;
const ROWS_AT_ONCE = 32; // whose logits are held: a vocabulary may be large

/**
 * Keeps what a pass computes, row by row, so that a text that begins as the one before is only read
 * from its first change on. Rows are places in the window.
 */
class Trace {
  constructor(model, pass) {
    this.model = model;
    this.pass = { ...pass, record: this };
    this.state = model.newState();
    const numBlocks = model.settings.num_blocks;
    this.depths = Array.from({ length: numBlocks + 1 }, () => []); // rows of the residual stream
    this.maps = Array.from({ length: numBlocks * model.numHeads }, () => []); // rows of weights
    this.lens = this.depths.map(() => []); // {id, p, actual}: see `lensOf`
    this.expected = []; // the likeliest next tokens, and the log-probability of the actual one
  }

  residual(depth, x) {
    const width = this.model.settings.embedding_dim;
    for (let at = 0; at < x.length; at += width) this.depths[depth].push(x.slice(at, at + width));
  }

  weights(block, head, _, weights, count) {
    const row = new Float32Array(weights.subarray(0, count));
    this.maps[block * this.model.numHeads + head].push(row);
  }

  /** Reads the ids of a window. The place before the first change has another next token. */
  read(ids) {
    const { tokens } = this.state;
    let known = 0;
    while (known < Math.min(ids.length, tokens.length) && ids[known] === tokens[known]) known++;
    const isShown = known === ids.length;
    if (!isShown) known = Math.max(0, known - 1);
    this.shorten(known);
    if (isShown) return;
    this.model.read(ids.slice(known), this.state, this.pass);
    this.depths.forEach((_, depth) => this.summarize(depth, known));
    for (const rows of this.depths) rows.fill(null); // only `lens` is asked for again
  }

  shorten(length) {
    shorten(this.state, length);
    const lists = [...this.depths, ...this.maps, ...this.lens, this.expected];
    for (const list of lists) list.length = length;
  }

  /** What the head says of the residual stream at a depth, from place `start` on. */
  summarize(depth, start) {
    const { settings } = this.model;
    const rows = this.depths[depth];
    for (; start < rows.length; start += ROWS_AT_ONCE) {
      const some = rows.slice(start, start + ROWS_AT_ONCE);
      const x = new Float32Array(some.length * settings.embedding_dim);
      some.forEach((row, i) => x.set(row, i * settings.embedding_dim));
      const logits = requireFinite(this.model.logits(x));
      const size = settings.vocab_size;
      some.forEach((_, i) => {
        const expected = logSoftmax(logits.subarray(i * size, (i + 1) * size));
        const actual = this.state.tokens[start + i + 1];
        this.lens[depth].push(lensOf(expected, actual));
        if (depth < this.depths.length - 1) return;
        this.expected.push({ likeliest: likeliest(expected), actual: expected[actual] });
      });
    }
  }

  /** (N, H, T, T): how much row t reads from row s. */
  attention() {
    const length = this.state.tokens.length;
    const out = new Float32Array(this.maps.length * length * length);
    this.maps.forEach((map, i) => {
      map.forEach((row, t) => out.set(row, (i * length + t) * length));
    });
    return out;
  }
}

/** The logit lens (nostalgebraist 2020): the head reads the residual stream after each depth. */
function lensOf(expected, actual) {
  const [id] = largest(expected, 1);
  const known = actual === undefined ? null : Math.exp(expected[actual]);
  return { id, p: Math.exp(expected[id]), actual: known };
}

/** [id, probability] of the likeliest tokens, from log-probabilities. */
const likeliest = (expected, count = NUM_ALTERNATIVES) =>
  largest(expected, count).map((id) => [id, Math.exp(expected[id])]);

/** [id, piece, probability] of the likeliest tokens. */
const alternatives = (expected, piece, count) => named(likeliest(expected, count), piece);
const named = (places, piece) => places.map(([id, share]) => [id, piece(id), share]);

/** Everything that `Engine.explain` says of the ids that a trace has read. */
function explanationOf(trace, piece) {
  const { tokens: ids } = trace.state;
  const last = ids.length - 1;
  const before = (place) => trace.expected[place - 1];
  const surprises = ids.map((_, place) => (place ? -before(place).actual / Math.LN2 : null));
  const mean = last ? surprises.reduce((sum, value) => sum + value, 0) / last : null;
  const lens = trace.lens.map((rows) =>
    rows.map((row, place) => ({
      ...row, piece: piece(row.id), actual: place === last ? null : row.actual,
    })),
  );
  return {
    pieces: ids.map(piece),
    surprises,
    alternatives: ids.map((_, place) => (place ? named(before(place).likeliest, piece) : [])),
    next: named(trace.expected[last].likeliest, piece),
    attention: trace.attention(),
    ...headsOf(trace, ids),
    lens: trace.model.settings.num_blocks ? lens : [],
    mean,
    loss: mean === null ? null : mean * Math.LN2,
  };
}

function headsOf(trace, ids) {
  const { num_blocks: numBlocks } = trace.model.settings;
  const { numHeads } = trace.model;
  const inBlocks = (make) =>
    Array.from({ length: numBlocks }, (_, n) =>
      Array.from({ length: numHeads }, (_, h) => make(trace.maps[n * numHeads + h])),
    );
  return { entropy: inBlocks(entropyOf), heads: inBlocks((map) => patternOf(map, ids)) };
}

/** Mean over the rows of -sum w log2 w, in bits. */
function entropyOf(map) {
  let sum = 0;
  for (const row of map) {
    for (let s = 0; s < row.length; s++) if (row[s] > 0) sum -= row[s] * Math.log(row[s]);
  }
  return Math.abs(sum / map.length / Math.LN2); // never -0
}
