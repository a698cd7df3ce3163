// What a page asks of a model; worker.js passes its messages on to these methods.

const KEPT_MODELS = 2; // made of snapshots; each takes four bytes a weight
const MOST_WEIGHTS = 2 ** 24; // of attention in an explanation: 64 MB

const WORDS = { characters: "character", bytes: "byte", bpe: "piece" }; // for one token

class Engine {
  /** `container` is {architecture, tokenizer, tensors, snapshots}. Throws for unknown settings. */
  constructor(container) {
    this.container = container;
    this.settings = settingsOf(container.architecture);
    this.tokenizer = container.tokenizer ? makeTokenizer(container.tokenizer) : null;
    this.models = new Map(); // by number of the snapshot, null for the model itself
    this.trace = null;
    this.run = 0; // counts the calls of write and stop
    this.piece = (id) => (this.tokenizer ? this.tokenizer.pieces[id] : String(id));
  }

  /** What a page must know of the model. */
  facts() {
    const { model, block_size, num_blocks = 0, num_heads = 0, vocab_size } = this.settings;
    const word = WORDS[(this.container.tokenizer || {}).kind] || "unit";
    const sizes = { block_size, num_blocks, num_heads, vocab_size };
    return { model, ...sizes, word, reads_source: this.readsSource };
  }

  encode(text) {
    return this.tokenizer.encode(text);
  }

  decode(ids) {
    return this.tokenizer.decode(ids);
  }

  /** Whether the model reads a source and writes a target, in place of continuing one text. */
  get readsSource() {
    return "encode" in MODELS[this.settings.model].prototype;
  }

  /** As `model`. Throws for a model that does not continue a text. */
  textModel(snapshot) {
    if (this.readsSource) throw new Error("the model has a source and a target: use translate");
    return this.model(snapshot);
  }

  /** The model as a snapshot has it, by its number; without one, the model itself. */
  model(snapshot = null) {
    if (this.models.has(snapshot)) return this.models.get(snapshot);
    const kind = MODELS[this.settings.model];
    const source = snapshot === null ? this.container : this.container.snapshots[snapshot];
    if (!source) throw new Error(`there is no snapshot ${snapshot}`);
    const others = [...this.models.keys()].filter((key) => key !== null);
    if (others.length >= KEPT_MODELS) this.models.delete(others[0]);
    this.models.set(snapshot, new kind(this.settings, source.tensors));
    return this.models.get(snapshot);
  }

  /** (T, V) in one array: of the last block_size ids. */
  logits(ids) {
    const model = this.textModel();
    return model.logits(model.read(ids.slice(-this.settings.block_size), model.newState()));
  }

  /** Explains the last `mostExplained()` ids; reads them from the first change on. */
  explain(ids, { off = {}, snapshot = null } = {}) {
    if (!ids.length) throw new Error("the text is empty: give at least one character");
    const key = JSON.stringify([off, snapshot]);
    if (!this.trace || this.trace.key !== key) {
      this.trace = Object.assign(new Trace(this.textModel(snapshot), passOf(off)), { key });
    }
    const window = ids.slice(-this.mostExplained());
    this.trace.read(window);
    return { first: ids.length - window.length, ...explanationOf(this.trace, this.piece) };
  }

  /** block_size, or fewer tokens where the attention of all heads would take too much memory. */
  mostExplained() {
    const { num_blocks = 0, num_heads = 0, block_size } = this.settings;
    const most = Math.floor(Math.sqrt(MOST_WEIGHTS / (num_blocks * num_heads || 1)));
    return Math.min(block_size, most);
  }

  /** The formulas of the names of heads, for the page's text. */
  patterns() {
    return Object.entries(PATTERNS).map(([key, { name, formula, source }]) => ({
      key, name, formula, source, least: LEAST_SCORE, times_even: TIMES_EVEN,
    }));
  }

  /**
   * Writes `count` tokens after `ids`; `emit` gets {id, piece, surprise, alternatives} of each.
   * Ends early after `stop` and when another text is begun. Returns {ids, num_written, stopped}.
   */
  async write({ ids, count, sampling, snapshot = null, off = {} }, emit = () => {}) {
    const run = ++this.run;
    const written = [];
    const done = (stopped) => ({ ids: written, num_written: written.length, stopped });
    let started = Date.now();
    const settings = checkedSampling(sampling);
    const steps = continuation(this.textModel(snapshot), ids, count, settings, passOf(off));
    for (const { id, logits } of steps) {
      const expected = logSoftmax(logits);
      written.push(id);
      const found = alternatives(expected, this.piece);
      emit({ id, piece: this.piece(id), surprise: -expected[id] / Math.LN2, alternatives: found });
      if (Date.now() - started < PAUSE_EVERY) continue;
      await pause();
      started = Date.now();
      if (run !== this.run) return done(true);
    }
    return done(false);
  }

  stop() {
    this.run++;
  }

  /** The likeliest next tokens after `ids`, and their probabilities under settings of sampling. */
  distribution({ ids, sampling, count = 12, snapshot = null, off = {} }) {
    const { logits } = new Window(this.textModel(snapshot), ids, passOf(off));
    const before = alternatives(logSoftmax(logits), this.piece, count);
    const changed = new Sampler(checkedSampling(sampling), ids).probabilities(logits);
    return { before, after: before.map(([id, piece]) => [id, piece, changed[id]]) };
  }

  /**
   * The target of a source: {text, units (with the end), ids, surprises, alternatives, score (see
   * beamSearch), finished, attention (N, H, T, S), entropy, source, unknown, others: [{text, score,
   * finished}] (the other beams)}.
   */
  translate({ text, num_beams = 1, max_new_tokens = null, snapshot = null }) {
    if (!this.readsSource) throw new Error("the model reads no source");
    if (!(num_beams >= 1)) throw new Error(`num_beams must be at least 1, got ${num_beams}`);
    const options = { num_beams, max_new_tokens };
    return translationOf(this.model(snapshot), this.tokenizer, text, options);
  }
}

/** What is switched off: {heads: [[block, head], ...], blocks: [block, ...]} as a pass reads it. */
function passOf({ heads = [], blocks = [] }) {
  const offHeads = [];
  for (const [block, head] of heads) (offHeads[block] = offHeads[block] || new Set()).add(head);
  return { offHeads, offBlocks: new Set(blocks), record: null };
}
