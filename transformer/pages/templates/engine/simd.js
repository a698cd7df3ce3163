// The same products with SIMD instructions of WebAssembly, which is assembled here.

/** Opcodes of the WebAssembly Core Specification 2.0, 5.4; a number after 0xfd is a vector's. */
const OP = {
  loop: [0x03, 0x40], // without results
  end: [0x0b],
  branchIf: (depth) => [0x0d, depth],
  get: (local) => [0x20, local],
  set: (local) => [0x21, local],
  tee: (local) => [0x22, local],
  number: (value) => [0x41, ...leb(value)],
  add: [0x6a],
  below: [0x49], // of numbers without a sign
  load: (offset) => [0xfd, 0x00, 2, ...leb(offset)], // 2: aligned to 4 bytes
  loadForAll: [0xfd, 0x09, 2, 0], // one float in all four lanes
  store: (offset) => [0xfd, 0x0b, 2, ...leb(offset)],
  addFloats: [0xfd, 0xe4, 0x01],
  multiplyFloats: [0xfd, 0xe6, 0x01],
};
const [I32, V128] = [0x7f, 0x7b];

/** LEB128, for numbers from 0 to 63 in one byte; with a sign bit of 0 at the end. */
function leb(value) {
  const bytes = [];
  for (; value > 63; value = Math.floor(value / 128)) bytes.push((value & 127) | 128);
  return [...bytes, value];
}

const sized = (content) => [...leb(content.length), ...content];
const section = (id, ...items) => [id, ...sized([items.length, ...items.flat()])];

/**
 * The body of f(x, panel, end, stride): for `numRows` rows of x, `stride` bytes apart, their
 * products with the 8 outputs of the panel up to `end`, to bytes 0, 32, 64, ... of the memory.
 */
function productBody(numRows) {
  const [PANEL_AT, END, STRIDE] = [1, 2, 3];
  const rows = Array.from({ length: numRows }, (_, r) => (r ? 3 + r : 0)); // locals: places in x
  const low = 3 + numRows; // locals of vectors: 8 weights, a number of x, then the sums
  const [high, factor] = [low + 1, low + 2];
  const sum = (r, half) => low + 3 + 2 * r + half;
  const addTo = (local, weights) => [
    OP.get(local), OP.get(factor), OP.get(weights), OP.multiplyFloats, OP.addFloats, OP.set(local),
  ];
  const forward = (local, bytes) => [OP.get(local), OP.number(bytes), OP.add];
  const code = [
    ...rows.slice(1).map((row, r) => [OP.get(rows[r]), OP.get(STRIDE), OP.add, OP.set(row)]),
    OP.loop,
    [OP.get(PANEL_AT), OP.load(0), OP.set(low), OP.get(PANEL_AT), OP.load(16), OP.set(high)],
    ...rows.map((row, r) => [
      [OP.get(row), OP.loadForAll, OP.set(factor)],
      [addTo(sum(r, 0), low), addTo(sum(r, 1), high)],
      [forward(row, 4), OP.set(row)],
    ]),
    [forward(PANEL_AT, 4 * PANEL), OP.tee(PANEL_AT), OP.get(END), OP.below, OP.branchIf(0)],
    OP.end,
    ...rows.map((_, r) =>
      [0, 1].map((half) => [OP.number(0), OP.get(sum(r, half)), OP.store(32 * r + 16 * half)]),
    ),
    OP.end,
  ];
  const locals = [[numRows - 1, I32], [3 + 2 * numRows, V128]];
  return sized([locals.length, ...locals.flat(), ...code.flat(Infinity)]);
}

/** A module with the functions "1" and "4" (rows of x), for the memory that it is given. */
function productModule() {
  const name = (text) => sized([...text].map((character) => character.charCodeAt(0)));
  const bytes = [
    [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    section(1, [0x60, 4, I32, I32, I32, I32, 0]), // the type of both functions
    section(2, [...name("m"), ...name("m"), 0x02, 0x00, 1]), // imports a memory of a page or more
    section(3, [0], [0]),
    section(7, [...name("1"), 0, 0], [...name("4"), 0, 1]),
    section(10, productBody(1), productBody(ROWS)),
  ];
  return new WebAssembly.Module(Uint8Array.from(bytes.flat()));
}

const PAGE = 65536; // bytes
const MOST_ROWS = 32; // of x in the memory at once: they stay in the processor's nearest cache

/** A memory for each model: it is given back with the model. */
class SimdProducts {
  constructor(module) {
    this.memory = new WebAssembly.Memory({ initial: 1 });
    const { exports } = new WebAssembly.Instance(module, { m: { m: this.memory } });
    [this.one, this.four] = [exports[1], exports[ROWS]];
    this.used = 4 * ROWS * PANEL; // the tile of results
    this.mostInputs = 0;
    this.rows = 0; // the place of the rows of x, and their room
    this.room = 0;
  }

  /** The place of so many bytes. Earlier views of the memory end when it grows. */
  reserve(size) {
    const place = this.used;
    this.used += size;
    const missing = this.used - this.memory.buffer.byteLength;
    if (missing > 0) this.memory.grow(Math.ceil(missing / PAGE));
    return place;
  }

  store(panels, inputs) {
    this.mostInputs = Math.max(this.mostInputs, inputs);
    const place = this.reserve(panels.byteLength);
    new Float32Array(this.memory.buffer, place, panels.length).set(panels);
    return place;
  }

  multiply(x, rows, layer, out) {
    if (this.room < this.mostInputs) {
      this.room = this.mostInputs;
      this.rows = this.reserve(4 * MOST_ROWS * this.room);
    }
    const floats = new Float32Array(this.memory.buffer);
    for (let r = 0; r < rows; r += MOST_ROWS) {
      const count = Math.min(MOST_ROWS, rows - r);
      floats.set(x.subarray(r * layer.inputs, (r + count) * layer.inputs), this.rows / 4);
      this.multiplySome(floats, r, count, layer, out);
    }
  }

  /** For `count` rows that stand in the memory. */
  multiplySome(floats, start, count, layer, out) {
    const stride = 4 * layer.inputs;
    for (let o = 0; o < layer.outputs; o += PANEL) {
      const panel = layer.panels + o * stride;
      const end = panel + PANEL * stride;
      let r = 0;
      for (; r + ROWS <= count; r += ROWS) {
        this.four(this.rows + r * stride, panel, end, stride);
        putTile(floats, 0, layer, o, out, start + r, ROWS);
      }
      for (; r < count; r++) {
        this.one(this.rows + r * stride, panel, end, stride);
        putTile(floats, 0, layer, o, out, start + r, 1);
      }
    }
  }
}

/** SIMD where the browser and the Content-Security-Policy allow it: 3 times as fast in all. */
const SIMD_MODULE = (() => {
  try {
    return productModule();
  } catch {
    return null;
  }
})();
const PRODUCTS = { simd: () => new SimdProducts(SIMD_MODULE), plain: () => new PlainProducts() };
let productKind = SIMD_MODULE ? "simd" : "plain";
const makeProducts = () => PRODUCTS[productKind]();
