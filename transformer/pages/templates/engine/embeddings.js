// What a model adds up for each token before its first block: embeddings, n-grams, positions.

const MULTIPLIER = -7046029254386353131n; // 2^64 / golden ratio as int64: Fibonacci hashing (Knuth)
const SINUSOID_BASE = 10000; // arXiv:1706.03762, 3.5
const int64 = (number) => BigInt.asIntN(64, number);

/**
 * The token's vector plus one for each n-gram that ends with it: cf. arXiv:2501.16975. A table with
 * fewer rows than there are n-grams is read by a hash of int64 numbers, which wrap around.
 */
class NgramEmbedding {
  /** `others` are names that tied tensors may have instead. */
  constructor(settings, weights, vocabSize, name, ...others) {
    this.width = settings.embedding_dim;
    this.table = weights.table(`${name}.weight`, ...others.map((other) => `${other}.weight`));
    this.base = BigInt(settings.ngram_vocab_size || vocabSize);
    this.ngrams = Array.from({ length: settings.ngram_size - 1 }, (_, i) =>
      weights.table(...[name, ...others].map((one) => `${one}.ngram_tables.${i}`)),
    );
  }

  /** The vector of the token at `place` of `tokens`; tokens before the first count as token 0. */
  at(tokens, place) {
    const x = new Float32Array(this.width);
    this.table.addRow(tokens[place], x);
    let ngram = BigInt(tokens[place]);
    this.ngrams.forEach((table, i) => {
      const earlier = BigInt(place > i ? tokens[place - i - 1] : 0);
      const power = this.base ** BigInt(i + 1);
      ngram = int64(ngram + earlier * power);
      const numRows = BigInt(table.numRows);
      const hashed = this.base * power > numRows ? int64(ngram * MULTIPLIER) >> 32n : ngram;
      table.addRow(Number(((hashed % numRows) + numRows) % numRows), x);
    });
    return x;
  }
}

/** Plus a learned share, by channel, of the previous position's vector: cf. arXiv:2305.13048. */
class ShiftedEmbedding {
  constructor(embedding, share) {
    this.embedding = embedding;
    this.share = share;
  }

  at(tokens, place) {
    const x = this.embedding.at(tokens, place);
    if (!place) return x;
    const before = this.embedding.at(tokens, place - 1);
    return x.map((value, i) => value + this.share[i] * before[i]);
  }
}

/** base^(-2i/D) for each pair i. */
const frequencies = (dim, base) =>
  Float64Array.from({ length: Math.ceil(dim / 2) }, (_, i) => base ** -((2 * i) / dim));

/** arXiv:2104.09864, 3.2.2, stretched for long contexts as in Llama 3.1 (arXiv:2407.21783). */
function rotaryFrequencies({ head_dim, rotary_base, rotary_scaling }) {
  const plain = frequencies(head_dim, rotary_base);
  if (!rotary_scaling) return plain;
  const [factor, low, high, length] = rotary_scaling;
  return plain.map((frequency) => {
    const turns = (length * frequency) / (2 * Math.PI);
    const kept = Math.min(1, Math.max(0, (turns - low) / (high - low)));
    return kept * frequency + ((1 - kept) * frequency) / factor;
  });
}

/** Adds the vector of a position to x, in place: one class a kind of positions. */
class LearnedPositions {
  constructor(settings, weights, name) {
    this.table = weights.table(`${name}.weight`);
  }

  add(x, position) {
    this.table.addRow(position, x);
  }
}

/** sin and cos of t / 10000^(2i/C): arXiv:1706.03762, 3.5; a learned `gain` may scale them. */
class SinusoidalPositions {
  constructor(settings, weights, name) {
    this.gain = settings.position_gain ? weights.vector(`${name}.gain`)[0] : 1;
    this.frequencies = frequencies(settings.embedding_dim, SINUSOID_BASE);
  }

  add(x, position) {
    for (let i = 0; i < x.length; i++) {
      const angle = Math.fround(position * this.frequencies[i >> 1]); // float32, as in Python
      x[i] += this.gain * (i % 2 ? Math.cos(angle) : Math.sin(angle));
    }
  }
}

class NoPositions {
  add() {}
}

const POSITIONS = {
  learned: LearnedPositions,
  sinusoidal: SinusoidalPositions,
  rotary: NoPositions, // within attention instead
  none: NoPositions,
};

const makePositions = (settings, weights, name) =>
  new POSITIONS[settings.positions](settings, weights, name);

/** Rotates the numbers i and i + D/2 of a head by position times frequency i: eq. 34. */
class Rotation {
  constructor(settings, numPositions) {
    this.half = settings.head_dim / 2;
    const turned = rotaryFrequencies(settings);
    const angles = Float32Array.from(
      { length: numPositions * this.half },
      (_, i) => Math.floor(i / this.half) * turned[i % this.half],
    );
    this.cos = angles.map(Math.cos);
    this.sin = angles.map(Math.sin);
  }

  /** The head's numbers start at `from` of x. */
  apply(x, from, position) {
    const { half, cos, sin } = this;
    for (let i = 0, at = position * half; i < half; i++, at++) {
      const first = x[from + i];
      const second = x[from + half + i];
      x[from + i] = first * cos[at] - second * sin[at];
      x[from + half + i] = second * cos[at] + first * sin[at];
    }
  }
}

const makeRotation = (settings, numPositions) =>
  settings.positions === "rotary" ? new Rotation(settings, numPositions) : null;
