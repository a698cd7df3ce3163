// Weights of a model, and products with them.

/** The tensors of a container by name: {shape, data: Float32Array | Int8Array, scales}. */
class Weights {
  constructor(tensors) {
    this.tensors = tensors;
    this.products = makeProducts();
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
    return new Linear(this.products, table, hasBias ? this.vector(`${name}.bias`) : null);
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
 * x W^T + b. int8 weights become float32 once, when the model is made: products with int8 take 1.4
 * (many rows) to 3 times (one row) as long in V8, as each number is converted at each use.
 */
class Linear {
  constructor(products, table, bias) {
    this.inputs = table.width;
    this.outputs = table.numRows;
    this.bias = bias;
    this.products = products;
    this.panels = products.store(this.packed(table), this.inputs);
  }

  /** The weights in panels of PANEL outputs, (panel, input, output); the last is filled with 0. */
  packed(table) {
    const { inputs, outputs } = this;
    const panels = new Float32Array(Math.ceil(outputs / PANEL) * PANEL * inputs);
    const row = new Float32Array(inputs);
    for (let o = 0; o < outputs; o++) {
      row.fill(0);
      table.addRow(o, row);
      const start = (o - (o % PANEL)) * inputs + (o % PANEL);
      for (let i = 0; i < inputs; i++) panels[start + i * PANEL] = row[i];
    }
    return panels;
  }

  /** x (rows, inputs) -> (rows, outputs) */
  apply(x, rows) {
    const out = new Float32Array(rows * this.outputs);
    this.products.multiply(x, rows, this, out);
    return out;
  }
}

/** Writes `numRows` rows of a tile (numRows, PANEL) to rows of `out`, from output o on. */
function putTile(tile, from, layer, o, out, row, numRows) {
  const { outputs, bias } = layer;
  const count = Math.min(PANEL, outputs - o);
  for (let r = 0; r < numRows; r++) {
    const at = (row + r) * outputs + o;
    for (let i = 0; i < count; i++) {
      out[at + i] = tile[from + r * PANEL + i] + (bias ? bias[o + i] : 0);
    }
  }
}
