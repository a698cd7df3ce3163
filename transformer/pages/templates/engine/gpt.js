// The models of one text: GPT and bigram. Both give states, hidden rows and logits in the same way.

/** The decoder-only transformer. */
class Gpt {
  constructor(settings, tensors) {
    const weights = new Weights(tensors);
    this.settings = settings;
    this.numHeads = settings.num_heads;
    const size = settings.vocab_size;
    const embedding = new NgramEmbedding(settings, weights, size, "token_embedding", "lm_head");
    const share = settings.token_shift ? weights.vector("token_shift.weight") : null;
    this.embedding = share ? new ShiftedEmbedding(embedding, share) : embedding;
    this.positions = makePositions(settings, weights, "position_embedding");
    const rotation = makeRotation(settings, settings.block_size);
    this.blocks = Array.from(
      { length: settings.num_blocks },
      (_, i) => new Block(settings, weights, `blocks.${i}`, rotation, true),
    );
    this.finalNorm = settings.norm_first ? makeNorm(settings, weights, "final_norm") : (x) => x;
    const tied = settings.tie_weights ? ["token_embedding.weight"] : [];
    this.head = weights.linear("lm_head", settings.head_bias, ...tied);
  }

  /** An empty cache: the tokens that were read, and the keys and values of each block. */
  newState() {
    const empty = ({ attention }) => new KeysValues(attention.keyWidth);
    return { tokens: [], blocks: this.blocks.map(empty) };
  }

  /** Reads ids after those in the state; returns the residual stream (rows, C) after the blocks. */
  read(ids, state, pass = PLAIN_PASS) {
    const start = state.tokens.length;
    const stop = start + ids.length;
    const { block_size: size } = this.settings;
    if (stop > size) throw new Error(`${stop} tokens, but block_size=${size}`);
    state.tokens.push(...ids);
    let x = this.embedded(state.tokens, start);
    const { record } = pass;
    if (record) record.residual(0, x);
    this.blocks.forEach((block, number) => {
      const each = record && ((...row) => record.weights(number, ...row));
      const before = x;
      x = block.forward(x, ids.length, state.blocks[number], pass.offHeads[number], each);
      if (pass.offBlocks.has(number)) x = before;
      if (record) record.residual(number + 1, x);
    });
    return x;
  }

  /** (rows, C): the vectors of the tokens from place `start` on, with positions. */
  embedded(tokens, start) {
    const width = this.settings.embedding_dim;
    const x = new Float32Array((tokens.length - start) * width);
    for (let place = start; place < tokens.length; place++) {
      const row = this.embedding.at(tokens, place);
      this.positions.add(row, place);
      x.set(row, (place - start) * width);
    }
    return x;
  }

  /** The logits (rows, V) of the token after each row of the residual stream. */
  logits(x) {
    return this.head.apply(this.finalNorm(x), x.length / this.settings.embedding_dim);
  }
}

/** A table: row i holds the logits of the token after token i. Its residual stream is the id. */
class Bigram {
  constructor(settings, tensors) {
    this.settings = { ...settings, num_blocks: 0, embedding_dim: 1 };
    this.numHeads = 0;
    this.table = new Weights(tensors).table("next_token.weight");
  }

  newState() {
    return { tokens: [], blocks: [] };
  }

  read(ids, state, pass = PLAIN_PASS) {
    state.tokens.push(...ids);
    const x = Float32Array.from(ids);
    if (pass.record) pass.record.residual(0, x);
    return x;
  }

  logits(x) {
    const { width } = this.table;
    const out = new Float32Array(x.length * width);
    x.forEach((id, row) => this.table.addRow(id, out, row * width));
    return out;
  }
}

const MODELS = { gpt: Gpt, bigram: Bigram };

/** Forgets all but the first `length` tokens of a state. */
function shorten(state, length) {
  state.tokens.length = length;
  for (const kept of state.blocks) kept.length = length;
}

/** The logits after the last of `ids`, which are read into an empty or longer state. */
function logitsAfter(model, ids, state, pass) {
  const x = model.read(ids, state, pass);
  return requireFinite(model.logits(x.subarray(x.length - model.settings.embedding_dim)));
}
