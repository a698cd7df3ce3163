// The encoder-decoder of arXiv:1706.03762: reads a source, then a target token by token.

/** Queries of the target read keys and values of the source: 3.2.3. */
class CrossAttention extends Heads {
  constructor(settings, weights, name) {
    super(settings, weights, name);
    this.query = weights.linear(`${name}.query`, settings.bias);
    this.keyValue = weights.linear(`${name}.key_value`, settings.bias);
  }

  /** The keys and values of a memory (length, C), which all targets share. */
  kept(memory, length) {
    const { keyWidth, headDim } = this;
    const kept = new KeysValues(keyWidth);
    const both = this.keyValue.apply(memory, length);
    for (let s = 0, at = 0; s < length; s++, at += 2 * keyWidth) {
      this.prepare(both, at, keyWidth / headDim, this.keyNorm, null, s);
      kept.push(both, at, at + keyWidth);
    }
    return kept;
  }

  forward(x, rows, kept, record) {
    const { numHeads, headDim } = this;
    const width = numHeads * headDim;
    const q = this.query.apply(x, rows);
    for (let r = 0; r < rows; r++) this.prepare(q, r * width, numHeads, this.queryNorm, null, r);
    const joined = this.attend(q, width, rows, kept, () => kept.length, null, record);
    return this.output.apply(joined, rows);
  }
}

/** Self-attention, then attention to the memory, then feed-forward: 3.1. */
class DecoderBlock extends Block {
  constructor(settings, weights, name, rotation) {
    super(settings, weights, name, rotation, true);
    this.crossNorm = makeNorm(settings, weights, `${name}.cross_attention_norm`);
    this.cross = new CrossAttention(settings, weights, `${name}.cross_attention`);
  }

  forward(x, rows, kept, memory, record) {
    const { attention, cross, feedforward } = this;
    x = this.add(x, this.attentionNorm, (y) => attention.forward(y, rows, kept, null, null));
    x = this.add(x, this.crossNorm, (y) => cross.forward(y, rows, memory, record));
    return this.add(x, this.feedforwardNorm, (y) => feedforward.forward(y, rows));
  }
}

class EncoderDecoder {
  constructor(settings, tensors) {
    const weights = new Weights(tensors);
    this.settings = settings;
    this.scale = Math.sqrt(settings.embedding_dim);
    const shared = settings.shared_vocabulary ? ["token_embedding"] : [];
    const [sources, targets] = [settings.source_vocab_size, settings.vocab_size];
    this.source = new NgramEmbedding(settings, weights, sources, "source_embedding", ...shared);
    this.target = new NgramEmbedding(settings, weights, targets, "token_embedding", "lm_head");
    this.sourcePositions = makePositions(settings, weights, "source_positions");
    this.targetPositions = makePositions(settings, weights, "position_embedding");
    const rotation = makeRotation(settings, settings.block_size + 1); // one for BEGIN
    const numbers = [...Array(settings.num_blocks).keys()];
    const encoder = (i) => new Block(settings, weights, `encoder_blocks.${i}`, rotation, false);
    const decoder = (i) => new DecoderBlock(settings, weights, `decoder_blocks.${i}`, rotation);
    this.encoderBlocks = numbers.map(encoder);
    this.decoderBlocks = numbers.map(decoder);
    const lastNorm = (name) => (settings.norm_first ? makeNorm(settings, weights, name) : (x) => x);
    this.encoderNorm = lastNorm("encoder_norm");
    this.finalNorm = lastNorm("final_norm");
    const tied = settings.tie_weights ? ["token_embedding.weight"] : [];
    this.head = weights.linear("lm_head", false, ...tied);
  }

  /** What each decoder block reads of a source: its keys and values. */
  encode(ids) {
    let x = this.embedded(this.source, this.sourcePositions, ids, 0);
    for (const block of this.encoderBlocks) {
      x = block.forward(x, ids.length, new KeysValues(block.attention.keyWidth), null, null);
    }
    const memory = this.encoderNorm(x);
    return this.decoderBlocks.map((block) => block.cross.kept(memory, ids.length));
  }

  /** A target of no tokens yet. */
  newState() {
    const empty = ({ attention }) => new KeysValues(attention.keyWidth);
    return { tokens: [], blocks: this.decoderBlocks.map(empty) };
  }

  /** The logits (rows, V) after each of `ids`, which follow those in the state. */
  decode(ids, state, memory, record = null) {
    const start = state.tokens.length;
    const rows = ids.length;
    state.tokens.push(...ids);
    let x = this.embedded(this.target, this.targetPositions, state.tokens, start);
    this.decoderBlocks.forEach((block, number) => {
      const each = record && ((...row) => record(number, ...row));
      x = block.forward(x, rows, state.blocks[number], memory[number], each);
    });
    return this.head.apply(this.finalNorm(x), rows);
  }

  embedded(embedding, positions, tokens, start) {
    const width = this.settings.embedding_dim;
    const x = new Float32Array((tokens.length - start) * width);
    for (let place = start; place < tokens.length; place++) {
      const row = embedding.at(tokens, place).map((value) => value * this.scale);
      positions.add(row, place);
      x.set(row, (place - start) * width);
    }
    return x;
  }
}

MODELS.encoder_decoder = EncoderDecoder;
