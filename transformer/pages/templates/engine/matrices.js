// Weights of a model, and products with them.

const TILE = 4; // rows of x and rows of a weight that are multiplied at once, in 16 registers

/** The tensors of a container by name: {shape, data: Float32Array | Int8Array, scales}. */
class Weights {
  constructor(tensors) {
    this.tensors = tensors;
  }

  has(name) {
    return this.tensors.has(name);
  }

  /** The first of these names that the container has: tied tensors are stored once. */
  find(...names) {
    const name = names.find((one) => this.tensors.has(one));
    if (!name) throw new Error(`the file has no tensor ${names[0]}`);
    return this.tensors.get(name);
  }

  vector(name) {
    const { data, scales } = this.find(name);
    return scales ? Float32Array.from(data, (value, i) => value * scales[i]) : data;
  }

  table(...names) {
    return new Table(this.find(...names));
  }

  /** `bias` and `weight` of a linear layer; other names of the weight may follow. */
  linear(name, hasBias, ...others) {
    const table = this.table(`${name}.weight`, ...others);
    return new Linear(table, hasBias ? this.vector(`${name}.bias`) : null);
  }
}

/** A matrix (R, C) of which single rows are read; int8 rows have a scale each. */
class Table {
  constructor({ shape, data, scales }) {
    [this.numRows, this.width] = shape;
    this.data = data;
    this.scales = scales;
  }

  /** out[at + i] += factor * row[i] */
  addRow(row, out, at = 0, factor = 1) {
    const { data, width } = this;
    const scale = this.scales ? this.scales[row] * factor : factor;
    for (let i = 0, from = row * width; i < width; i++) out[at + i] += data[from + i] * scale;
  }
}

/**
 * x W^T + b. int8 weights become float32 once, when the model is made: in V8, products with int8
 * take 1.4 (many rows) to 3 times (one row) as long, as each number is converted at each use.
 */
class Linear {
  constructor(table, bias) {
    this.inputs = table.width;
    this.outputs = table.numRows;
    this.bias = bias;
    const rows = Math.ceil(this.outputs / TILE) * TILE; // rows of 0 fill the last tile
    this.weight = PRODUCTS.floats(rows * this.inputs);
    for (let row = 0; row < this.outputs; row++) {
      table.addRow(row, this.weight, row * this.inputs);
    }
  }

  /** x (rows, inputs) -> (rows, outputs) */
  apply(x, rows) {
    const out = new Float32Array(rows * this.outputs);
    PRODUCTS.multiply(x, rows, this, out);
    return out;
  }
}

/** Products in plain JavaScript: tiles of 4 x 4, then the rows that are left one by one. */
const PLAIN_PRODUCTS = {
  floats: (length) => new Float32Array(length),
  multiply(x, rows, layer, out) {
    const inTiles = rows - (rows % TILE);
    const tile = new Float32Array(TILE * TILE);
    for (let o = 0; o < layer.outputs; o += TILE) {
      for (let r = 0; r < inTiles; r += TILE) {
        multiplyTile(x, r * layer.inputs, layer.weight, o * layer.inputs, layer.inputs, tile);
        for (let i = 0; i < TILE; i++) put(layer, o, tile, i * TILE, out, r + i);
      }
      for (let r = inTiles; r < rows; r++) {
        multiplyRow(x, r * layer.inputs, layer.weight, o * layer.inputs, layer.inputs, tile);
        put(layer, o, tile, 0, out, r);
      }
    }
  },
};
const PRODUCTS = PLAIN_PRODUCTS;

function put(layer, o, tile, from, out, row) {
  const { outputs, bias } = layer;
  const count = Math.min(TILE, outputs - o);
  for (let i = 0; i < count; i++) {
    out[row * outputs + o + i] = tile[from + i] + (bias ? bias[o + i] : 0);
  }
}

/** tile[4 i + j] = row i of x times row j of w; the rows start at p and q and follow each other. */
function multiplyTile(x, p, w, q, size, tile) {
  const [p1, p2, p3] = [p + size, p + 2 * size, p + 3 * size];
  const [q1, q2, q3] = [q + size, q + 2 * size, q + 3 * size];
  let a0 = 0, a1 = 0, a2 = 0, a3 = 0;
  let b0 = 0, b1 = 0, b2 = 0, b3 = 0;
  let c0 = 0, c1 = 0, c2 = 0, c3 = 0;
  let d0 = 0, d1 = 0, d2 = 0, d3 = 0;
  for (let i = 0; i < size; i++) {
    const x0 = x[p + i], x1 = x[p1 + i], x2 = x[p2 + i], x3 = x[p3 + i];
    const w0 = w[q + i], w1 = w[q1 + i], w2 = w[q2 + i], w3 = w[q3 + i];
    a0 += x0 * w0; a1 += x0 * w1; a2 += x0 * w2; a3 += x0 * w3;
    b0 += x1 * w0; b1 += x1 * w1; b2 += x1 * w2; b3 += x1 * w3;
    c0 += x2 * w0; c1 += x2 * w1; c2 += x2 * w2; c3 += x2 * w3;
    d0 += x3 * w0; d1 += x3 * w1; d2 += x3 * w2; d3 += x3 * w3;
  }
  tile[0] = a0; tile[1] = a1; tile[2] = a2; tile[3] = a3;
  tile[4] = b0; tile[5] = b1; tile[6] = b2; tile[7] = b3;
  tile[8] = c0; tile[9] = c1; tile[10] = c2; tile[11] = c3;
  tile[12] = d0; tile[13] = d1; tile[14] = d2; tile[15] = d3;
}

/** tile[j] = the row of x at p times row j of w. */
function multiplyRow(x, p, w, q, size, tile) {
  const [q1, q2, q3] = [q + size, q + 2 * size, q + 3 * size];
  let a0 = 0, a1 = 0, a2 = 0, a3 = 0;
  for (let i = 0; i < size; i++) {
    const value = x[p + i];
    a0 += value * w[q + i]; a1 += value * w[q1 + i];
    a2 += value * w[q2 + i]; a3 += value * w[q3 + i];
  }
  tile[0] = a0; tile[1] = a1; tile[2] = a2; tile[3] = a3;
}
