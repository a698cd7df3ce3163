// Draws the next token from logits: the laws of transformer/decoding/sampling.py, other randomness.

/**
 * Random numbers in [0, 1): sfc32 (Chris Doty-Humphrey, PractRand), 128 bits of state, in 32-bit
 * integers. The seed's lower and upper 32 bits are two words of the state, the third is 0, the
 * counter starts at 1, and 15 outputs are thrown away. Each number takes two outputs: 53 bits.
 */
class Random {
  constructor(seed) {
    const whole = Math.abs(Math.trunc(seed || 0));
    this.a = whole >>> 0;
    this.b = Math.floor(whole / 2 ** 32) >>> 0;
    this.c = 0;
    this.counter = 1;
    for (let i = 0; i < 15; i++) this.word();
  }

  /** 32 bits. */
  word() {
    const out = (this.a + this.b + this.counter) | 0;
    this.counter = (this.counter + 1) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = ((this.c << 21) | (this.c >>> 11)) + out;
    return out >>> 0;
  }

  /** A float64 in [0, 1). */
  uniform() {
    return ((this.word() >>> 5) * 2 ** 26 + (this.word() >>> 6)) / 2 ** 53;
  }
}

const PLAIN_SAMPLING = {
  temperature: 1, top_k: null, top_p: null, min_p: null, repetition_penalty: 1, seed: 0,
};
const OFF = null; // a value that leaves a setting out

/** Throws an Error that names the setting, like Python's `Sampling`. */
function checkedSampling(given = {}) {
  const settings = { ...PLAIN_SAMPLING, ...given };
  const unknown = Object.keys(settings).filter((key) => !(key in PLAIN_SAMPLING));
  if (unknown.length) throw new Error(`unknown setting of sampling: ${unknown.join(", ")}`);
  const { temperature, top_k, top_p, min_p, repetition_penalty: penalty } = settings;
  const laws = [
    [temperature >= 0, `temperature must be at least 0, got ${temperature}`],
    [top_k === OFF || top_k >= 1, `top_k must be at least 1, got ${top_k}`],
    [
      top_p === OFF || (top_p > 0 && top_p <= 1),
      `top_p must be greater than 0 and at most 1, got ${top_p}`,
    ],
    [
      min_p === OFF || (min_p >= 0 && min_p <= 1),
      `min_p must be at least 0 and at most 1, got ${min_p}`,
    ],
    [
      penalty >= 1e-3 && penalty <= 1e3,
      `repetition_penalty must be between 0.001 and 1000, got ${penalty}`,
    ],
  ];
  for (const [holds, text] of laws) if (!holds) throw new Error(text);
  return settings;
}

/** Draws tokens for one text. `settings` are checked; `ids` is the prompt. */
class Sampler {
  constructor(settings, ids) {
    this.settings = settings;
    this.random = new Random(settings.seed);
    this.seen = new Set(ids);
    this.isFiltered = [settings.top_k, settings.top_p, settings.min_p].some((one) => one !== OFF);
  }

  next(logits) {
    const penalized = this.penalized(logits);
    const drawn = this.settings.temperature === 0 ? largest(penalized, 1)[0] : this.draw(penalized);
    this.seen.add(drawn);
    return drawn;
  }

  /** Tokens of the text are made less likely: arXiv:1909.05858, 4.1, for logits of either sign. */
  penalized(logits) {
    const penalty = this.settings.repetition_penalty;
    if (penalty === 1) return logits;
    const [positive, negative] = [Math.fround(1 / penalty), Math.fround(penalty)];
    const out = Float32Array.from(logits);
    for (const id of this.seen) out[id] *= out[id] > 0 ? positive : negative;
    return out;
  }

  draw(logits) {
    const { order, weights } = this.isFiltered ? this.ranked(logits) : this.inOrder(logits);
    const drawn = this.random.uniform() * sumOf(weights);
    let last = 0; // in case rounding leaves the sum below what was drawn
    for (let rank = 0, sum = 0; rank < weights.length && sum <= drawn; rank++) {
      if (weights[rank]) last = rank;
      sum += weights[rank];
    }
    return order ? order[last] : last;
  }

  /** The weights of all ids, in the order of the ids. */
  inOrder(logits) {
    let most = -Infinity;
    for (let id = 0; id < logits.length; id++) if (logits[id] > most) most = logits[id];
    const weights = new Float64Array(logits);
    const { temperature } = this.settings;
    for (let id = 0; id < weights.length; id++) {
      weights[id] = Math.exp((weights[id] - most) / temperature);
    }
    return { order: null, weights };
  }

  /** The ids, the likeliest first, and weights in proportion to their probabilities, or 0. */
  ranked(logits) {
    const { temperature, top_k, top_p, min_p } = this.settings;
    const order = Uint32Array.from(logits, (_, id) => id);
    order.sort((a, b) => logits[b] - logits[a] || a - b);
    const most = logits[order[0]];
    const divisor = temperature || 1;
    const weights = Float64Array.from(order, (id) => Math.exp((logits[id] - most) / divisor));
    if (temperature === 0) weights.fill(0, 1);
    if (top_k !== OFF) weights.fill(0, top_k);
    if (top_p !== OFF) keepShare(weights, top_p);
    const least = min_p === OFF ? 0 : min_p; // the likeliest has weight 1
    weights.forEach((weight, rank) => weight < least && (weights[rank] = 0));
    return { order, weights };
  }

  /** The probability of each id under the settings; those of the kept ids sum to 1. */
  probabilities(logits) {
    const { order, weights } = this.ranked(this.penalized(logits));
    const total = sumOf(weights);
    const out = new Float64Array(order.length);
    order.forEach((id, rank) => (out[id] = weights[rank] / total));
    return out;
  }
}

const sumOf = (numbers) => numbers.reduce((sum, number) => sum + number, 0);

/** Keeps the fewest first weights that sum to this share of their total: arXiv:1904.09751. */
function keepShare(weights, share) {
  const total = sumOf(weights);
  for (let rank = 0, before = 0; rank < weights.length; rank++) {
    const weight = weights[rank];
    if (!(before / total < share)) weights[rank] = 0;
    before += weight;
  }
}
