// Activations, norms and softmax. Numbers are stored in float32 and added up in float64.

/** erf at 0, STEP, 2 STEP, ...: the series 2/sqrt(pi) e^(-x^2) sum 2^n x^(2n+1) / (2n+1)!!. */
const STEP = 1 / 64;
const ERF_END = 6; // 1 - erf(6) is below 1e-16
const ERF = Float64Array.from({ length: ERF_END / STEP + 2 }, (_, i) => {
  const x = i * STEP;
  let sum = 0;
  for (let n = 0, term = x; n < 200; n++, term *= (2 * x * x) / (2 * n + 1)) sum += term;
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
});

/** The error function: cubic Hermite interpolation of the table, exact to 1e-9. */
function erf(x) {
  const size = Math.abs(x);
  if (size >= ERF_END) return Math.sign(x);
  const i = Math.floor(size / STEP);
  const u = size / STEP - i;
  const slope = (at) => (2 / Math.sqrt(Math.PI)) * Math.exp(-at * at) * STEP;
  const [from, to, start, end] = [ERF[i], ERF[i + 1], slope(i * STEP), slope((i + 1) * STEP)];
  const change = to - from;
  const last = start + end - 2 * change; // of u^3
  return Math.sign(x) * (from + u * (start + u * (change - start - last + u * last)));
}

const cubic = (v) => Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3);
const silu = (x) => x / (1 + Math.exp(-x)); // x sigmoid(x); where e^-x is infinite, -0

/** In place; gelu is exact (arXiv:1606.08415), gelu_tanh GPT-2's, relu2 of arXiv:2109.08668. */
const ACTIVATIONS = {
  gelu: (x) => mapInPlace(x, (v) => (v * (1 + erf(v * Math.SQRT1_2))) / 2),
  gelu_tanh: (x) => mapInPlace(x, (v) => (v * (1 + Math.tanh(cubic(v)))) / 2),
  relu: (x) => mapInPlace(x, (v) => (v > 0 ? v : 0)),
  relu2: (x) => mapInPlace(x, (v) => (v > 0 ? v * v : 0)),
  swiglu: gated, // Shazeer 2020 (arXiv:2002.05202)
};

function mapInPlace(x, change) {
  for (let i = 0; i < x.length; i++) x[i] = change(x[i]);
  return x;
}

/** (rows, 2 F): a gate, then a value -> silu(gate) value (rows, F). */
function gated(x, rows) {
  const width = x.length / rows / 2;
  const out = new Float32Array(rows * width);
  for (let r = 0; r < rows; r++) {
    const gate = 2 * r * width;
    for (let i = 0; i < width; i++) out[r * width + i] = silu(x[gate + i]) * x[gate + width + i];
  }
  return out;
}

/** w x / sqrt(mean of x^2 + eps) of each row of width `weight.length`: arXiv:1910.07467, eq. 4. */
function rmsNorm(x, out, weight, _, eps) {
  const width = weight.length;
  for (let start = 0; start < x.length; start += width) {
    let squares = 0;
    for (let i = 0; i < width; i++) squares += x[start + i] * x[start + i];
    const scale = 1 / Math.sqrt(squares / width + eps);
    for (let i = 0; i < width; i++) out[start + i] = weight[i] * (x[start + i] * scale);
  }
  return out;
}

/** w (x - mean) / sqrt(variance + eps) + b of each row: Ba et al. 2016 (arXiv:1607.06450). */
function layerNorm(x, out, weight, bias, eps) {
  const width = weight.length;
  for (let start = 0; start < x.length; start += width) {
    let sum = 0;
    for (let i = 0; i < width; i++) sum += x[start + i];
    const mean = sum / width;
    let squares = 0;
    for (let i = 0; i < width; i++) squares += (x[start + i] - mean) ** 2;
    const scale = 1 / Math.sqrt(squares / width + eps);
    for (let i = 0; i < width; i++) {
      out[start + i] = weight[i] * ((x[start + i] - mean) * scale) + (bias ? bias[i] : 0);
    }
  }
  return out;
}

/** A function of x (rows, C) that gives a new array. `weights` finds the tensors below `name`. */
function makeNorm(settings, weights, name) {
  const weight = weights.vector(`${name}.weight`);
  const plain = settings.norm === "layernorm" && settings.bias;
  const bias = plain ? weights.vector(`${name}.bias`) : null;
  const norm = settings.norm === "layernorm" ? layerNorm : rmsNorm;
  return (x) => norm(x, new Float32Array(x.length), weight, bias, settings.norm_eps);
}

/** Log-probabilities (float64) of one row of logits. */
function logSoftmax(logits) {
  const out = new Float64Array(logits);
  let most = -Infinity;
  for (let i = 0; i < out.length; i++) if (out[i] > most) most = out[i];
  let sum = 0;
  for (let i = 0; i < out.length; i++) sum += Math.exp(out[i] - most);
  const shift = most + Math.log(sum);
  for (let i = 0; i < out.length; i++) out[i] -= shift;
  return out;
}

/** Throws where a number is NaN or infinite: then no token can be chosen. */
function requireFinite(logits) {
  for (let i = 0; i < logits.length; i++) {
    if (!Number.isFinite(logits[i])) {
      throw new Error("the model's logits are not finite, so no token can be chosen");
    }
  }
  return logits;
}

/** The indices of the `count` largest values, the largest first; of equal ones, the lowest. */
function largest(values, count) {
  const best = [];
  for (let i = 0; i < values.length; i++) {
    if (best.length === count && !(values[i] > values[best[count - 1]])) continue;
    let place = Math.min(best.length, count - 1);
    for (; place > 0 && values[best[place - 1]] < values[i]; place--) best[place] = best[place - 1];
    best[place] = i;
  }
  return best;
}
