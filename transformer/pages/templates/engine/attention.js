// Attention, its keys and values, and the blocks. x is (rows, C); its rows follow each other.

const LEAST_ROOM = 16; // rows of keys
const SPARE = 4; // rows after the last, which are read but not used

/** The keys and values of one attention, each (length, G D) with G heads of keys and values. */
class KeysValues {
  constructor(width) {
    this.width = width;
    this.length = 0;
    this.keys = new Float32Array(LEAST_ROOM * width);
    this.values = new Float32Array(LEAST_ROOM * width);
  }

  /** Room for so many more rows; at least twice the room if there is too little. */
  reserve(count) {
    const needed = (this.length + count + SPARE) * this.width;
    if (needed <= this.keys.length) return;
    for (const name of ["keys", "values"]) {
      const wider = new Float32Array(Math.max(needed, 2 * this[name].length));
      wider.set(this[name]);
      this[name] = wider;
    }
  }

  /** Adds one row; keys and values start at these places of `from`. */
  push(from, key, value) {
    this.reserve(1);
    const { width } = this;
    this.keys.set(from.subarray(key, key + width), this.length * width);
    this.values.set(from.subarray(value, value + width), this.length * width);
    this.length++;
  }

  copy() {
    const made = new KeysValues(this.width);
    made.reserve(this.length + 1);
    made.length = this.length;
    made.keys.set(this.keys.subarray(0, this.length * this.width));
    made.values.set(this.values.subarray(0, this.length * this.width));
    return made;
  }
}

/**
 * What a pass does beside its result. `offHeads` and `offBlocks` switch parts off: an Array of a
 * Set of heads for each block, a Set of blocks. `record` gets residual(depth, x) and
 * weights(block, head, row, weights, count): the first `count` numbers are what the row reads.
 */
const PLAIN_PASS = { offHeads: [], offBlocks: new Set(), record: null };

/** Sizes of heads, and the softmax(Q K^T / sqrt(D)) V of arXiv:1706.03762, eq. 1. */
class Heads {
  constructor(settings, weights, name) {
    this.numHeads = settings.num_heads;
    this.headDim = settings.head_dim;
    this.keyWidth = settings.num_kv_heads * settings.head_dim;
    this.perKey = settings.num_heads / settings.num_kv_heads; // arXiv:2305.13245
    this.eps = settings.norm_eps;
    const normed = settings.qk_norm; // of each head: arXiv:2010.04245
    this.queryNorm = normed ? weights.vector(`${name}.query_norm.weight`) : null;
    this.keyNorm = normed ? weights.vector(`${name}.key_norm.weight`) : null;
    this.output = weights.linear(`${name}.output`, settings.bias);
  }

  /** Normalizes and rotates the heads that start at `from` of x, in place. */
  prepare(x, from, count, norm, rotation, position) {
    for (let h = 0; h < count; h++, from += this.headDim) {
      if (norm) {
        const head = x.subarray(from, from + this.headDim);
        rmsNorm(head, head, norm, null, this.eps);
      }
      if (rotation) rotation.apply(x, from, position);
    }
  }

  /**
   * The queries of row r start at r * stride of q and read the first readable(r) keys. Returns the
   * joined heads (rows, H D); heads in `off` give zeros.
   */
  attend(q, stride, rows, kept, readable, off, record) {
    const { numHeads, headDim } = this;
    const joined = new Float32Array(rows * numHeads * headDim);
    const scores = new Float64Array(kept.length + 3);
    for (let r = 0; r < rows; r++) {
      const count = readable(r);
      for (let h = 0; h < numHeads; h++) {
        const head = Math.floor(h / this.perKey) * headDim; // of the keys and values
        const query = r * stride + h * headDim;
        softmaxOfScores(q, query, kept.keys, head, kept.width, headDim, scores, count);
        if (record) record(h, r, scores, count);
        if (off && off.has(h)) continue;
        const at = (r * numHeads + h) * headDim;
        weightedSum(scores, count, kept.values, head, kept.width, headDim, joined, at);
      }
    }
    return joined;
  }
}

/** scores[s] = softmax over s < count of q k_s / sqrt(size); the keys are `width` apart. */
function softmaxOfScores(q, query, keys, head, width, size, scores, count) {
  const scale = 1 / Math.sqrt(size);
  for (let s = 0; s < count; s += 4) {
    // Four keys at once; the cache has room for those after the last, whose scores are not read.
    const k0 = head + s * width, k1 = k0 + width, k2 = k1 + width, k3 = k2 + width;
    let a0 = 0, a1 = 0, a2 = 0, a3 = 0;
    for (let i = 0; i < size; i++) {
      const value = q[query + i];
      a0 += value * keys[k0 + i]; a1 += value * keys[k1 + i];
      a2 += value * keys[k2 + i]; a3 += value * keys[k3 + i];
    }
    scores[s] = a0 * scale; scores[s + 1] = a1 * scale;
    scores[s + 2] = a2 * scale; scores[s + 3] = a3 * scale;
  }
  let most = -Infinity;
  for (let s = 0; s < count; s++) if (scores[s] > most) most = scores[s];
  let sum = 0;
  for (let s = 0; s < count; s++) sum += scores[s] = Math.exp(scores[s] - most);
  for (let s = 0; s < count; s++) scores[s] /= sum;
}

/** out[at + i] = sum over s < count of scores[s] values[s][i], for four i at once. */
function weightedSum(scores, count, values, head, width, size, out, at) {
  for (let i = 0; i < size; i += 4) {
    let a0 = 0, a1 = 0, a2 = 0, a3 = 0;
    for (let s = 0, from = head + i; s < count; s++, from += width) {
      const score = scores[s];
      a0 += score * values[from]; a1 += score * values[from + 1];
      a2 += score * values[from + 2]; a3 += score * values[from + 3];
    }
    out[at + i] = a0;
    if (i + 1 < size) out[at + i + 1] = a1;
    if (i + 2 < size) out[at + i + 2] = a2;
    if (i + 3 < size) out[at + i + 3] = a3;
  }
}

class SelfAttention extends Heads {
  constructor(settings, weights, name, rotation, causal) {
    super(settings, weights, name);
    this.rotation = rotation;
    this.causal = causal;
    this.qkv = weights.linear(`${name}.qkv`, settings.bias);
  }

  /** x follows the rows in `kept`, to which its keys and values are added. */
  forward(x, rows, kept, off, record) {
    const { numHeads, headDim, keyWidth, rotation } = this;
    const queryWidth = numHeads * headDim;
    const stride = queryWidth + 2 * keyWidth;
    const qkv = this.qkv.apply(x, rows);
    const start = kept.length;
    for (let r = 0, at = 0; r < rows; r++, at += stride) {
      const key = at + queryWidth;
      this.prepare(qkv, at, numHeads, this.queryNorm, rotation, start + r);
      this.prepare(qkv, key, keyWidth / headDim, this.keyNorm, rotation, start + r);
      kept.push(qkv, key, key + keyWidth);
    }
    const readable = this.causal ? (r) => start + r + 1 : () => start + rows;
    const joined = this.attend(qkv, stride, rows, kept, readable, off, record);
    return this.output.apply(joined, rows);
  }
}

/** W2 f(W1 x): arXiv:1706.03762, 3.3. */
class FeedForward {
  constructor(settings, weights, name) {
    this.activation = ACTIVATIONS[settings.activation];
    this.input = weights.linear(`${name}.input`, settings.bias);
    this.output = weights.linear(`${name}.output`, settings.bias);
  }

  forward(x, rows) {
    return this.output.apply(this.activation(this.input.apply(x, rows), rows), rows);
  }
}

/** x + f(norm(x)) with norm_first, otherwise norm(x + f(x)): arXiv:1706.03762, 3.1. */
class ResidualPaths {
  constructor(settings) {
    this.normFirst = settings.norm_first;
  }

  add(x, norm, part) {
    const read = this.normFirst ? norm(x) : x;
    const sum = part(read);
    for (let i = 0; i < sum.length; i++) sum[i] += x[i];
    return this.normFirst ? sum : norm(sum);
  }
}

/** Self-attention, then feed-forward. */
class Block extends ResidualPaths {
  constructor(settings, weights, name, rotation, causal) {
    super(settings);
    this.attentionNorm = makeNorm(settings, weights, `${name}.attention_norm`);
    this.attention = new SelfAttention(settings, weights, `${name}.attention`, rotation, causal);
    this.feedforwardNorm = makeNorm(settings, weights, `${name}.feedforward_norm`);
    this.feedforward = new FeedForward(settings, weights, `${name}.feedforward`);
  }

  forward(x, rows, kept, off, record) {
    x = this.add(x, this.attentionNorm, (y) => this.attention.forward(y, rows, kept, off, record));
    return this.add(x, this.feedforwardNorm, (y) => this.feedforward.forward(y, rows));
  }
}
