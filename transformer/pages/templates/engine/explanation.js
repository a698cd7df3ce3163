// What a model expected and read at each place of a text, and what is read at each depth.

const NUM_ALTERNATIVES = 5;

/**
 * Keeps what a pass computes, row by row, so that a text that begins as the one before is only read
 * from its first change on. Rows are positions in the window.
 */
class Trace {
  constructor(model, pass) {
    this.model = model;
    this.size = model.settings.block_size;
    this.pass = { ...pass, record: this };
    this.state = model.newState();
    const numBlocks = model.settings.num_blocks;
    this.residuals = Array.from({ length: numBlocks + 1 }, () => []); // rows by depth
    this.maps = Array.from({ length: numBlocks * model.numHeads }, () => []); // rows of weights
    this.rows = []; // of each place, the log-probabilities of the next token by depth
  }

  residual(depth, x) {
    const width = this.model.settings.embedding_dim;
    for (let at = 0; at < x.length; at += width) {
      this.residuals[depth].push(x.slice(at, at + width));
    }
  }

  weights(block, head, _, weights, count) {
    const row = new Float32Array(weights.subarray(0, count));
    this.maps[block * this.model.numHeads + head].push(row);
  }

  /** Reads the ids of a window; returns how many of its first rows were known. */
  read(ids) {
    const { tokens } = this.state;
    let known = 0;
    while (known < Math.min(ids.length, tokens.length) && ids[known] === tokens[known]) known++;
    if (known < tokens.length) this.shorten(known);
    if (known === ids.length) return known;
    this.model.read(ids.slice(known), this.state, this.pass);
    const depths = this.residuals.map((rows) => this.expected(rows.slice(known)));
    for (let r = 0; r < ids.length - known; r++) this.rows.push(depths.map((each) => each[r]));
    return known;
  }

  shorten(length) {
    shorten(this.state, length);
    for (const list of [...this.residuals, ...this.maps, this.rows]) list.length = length;
  }

  /** The log-probabilities of the next token after each of these rows of the residual stream. */
  expected(rows) {
    const width = this.model.settings.embedding_dim;
    const x = new Float32Array(rows.length * width);
    rows.forEach((row, i) => x.set(row, i * width));
    const logits = requireFinite(this.model.logits(x));
    const size = logits.length / rows.length;
    return rows.map((_, i) => logSoftmax(logits.subarray(i * size, (i + 1) * size)));
  }

  /** (N, H, T, T): how much row t reads from row s. */
  attention() {
    const length = this.state.tokens.length;
    const out = new Float32Array(this.maps.length * length * length);
    this.maps.forEach((map, i) => map.forEach((row, t) => out.set(row, (i * length + t) * length)));
    return out;
  }
}

/** [id, piece, probability] of the likeliest tokens, from log-probabilities. */
const alternatives = (expected, piece, count = NUM_ALTERNATIVES) =>
  largest(expected, count).map((id) => [id, piece(id), Math.exp(expected[id])]);

/** Everything that `Engine.explain` says of the ids that a trace has read. */
function explanationOf(trace, piece) {
  const { tokens: ids } = trace.state;
  const depth = trace.residuals.length - 1;
  const expected = trace.rows.map((row) => row[depth]);
  const bits = (place) => -expected[place - 1][ids[place]] / Math.LN2;
  const surprises = ids.map((_, place) => (place ? bits(place) : null));
  const total = surprises.reduce((sum, value) => sum + value, 0);
  const mean = ids.length > 1 ? total / (ids.length - 1) : null;
  return {
    pieces: ids.map(piece),
    surprises,
    alternatives: ids.map((_, place) => (place ? alternatives(expected[place - 1], piece) : [])),
    next: alternatives(expected[ids.length - 1], piece),
    attention: trace.attention(),
    ...headsOf(trace, ids),
    lens: depth ? trace.residuals.map((_, d) => lensOfDepth(trace, ids, d, piece)) : [],
    mean,
    loss: mean === null ? null : mean * Math.LN2,
  };
}

/** The logit lens (nostalgebraist 2020): the head reads the residual stream after each depth. */
const lensOfDepth = (trace, ids, depth, piece) =>
  ids.map((_, place) => lensOf(trace.rows[place][depth], ids[place + 1], piece));

function lensOf(expected, actual, piece) {
  const [id] = largest(expected, 1);
  const known = actual === undefined ? null : Math.exp(expected[actual]);
  return { id, piece: piece(id), p: Math.exp(expected[id]), actual: known };
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
