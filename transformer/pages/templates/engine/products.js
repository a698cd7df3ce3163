// Products of rows with panels of weights, in plain JavaScript.

const PANEL = 8; // outputs of a linear layer whose weights stand side by side
const ROWS = 4; // of x, multiplied at once

/** Tiles of 4 rows x 4 outputs, whose 16 sums are local variables; then the rows that are left. */
class PlainProducts {
  constructor() {
    this.tile = new Float32Array(ROWS * PANEL);
  }

  store(panels) {
    return panels;
  }

  multiply(x, rows, layer, out) {
    const { inputs, outputs, panels } = layer;
    const inTiles = rows - (rows % ROWS);
    for (let o = 0; o < outputs; o += PANEL) {
      const panel = o * inputs;
      for (let r = 0; r < inTiles; r += ROWS) {
        multiplyRows(x, r * inputs, panels, panel, inputs, this.tile, 0);
        multiplyRows(x, r * inputs, panels, panel + PANEL / 2, inputs, this.tile, PANEL / 2);
        putTile(this.tile, 0, layer, o, out, r, ROWS);
      }
      for (let r = inTiles; r < rows; r++) {
        multiplyRow(x, r * inputs, panels, panel, inputs, this.tile);
        putTile(this.tile, 0, layer, o, out, r, 1);
      }
    }
  }
}

/** tile[8 r + j] = row r of x times output j of half a panel; they start at p and q. */
function multiplyRows(x, p, panels, q, size, tile, at) {
  const [p1, p2, p3] = [p + size, p + 2 * size, p + 3 * size];
  let a0 = 0, a1 = 0, a2 = 0, a3 = 0;
  let b0 = 0, b1 = 0, b2 = 0, b3 = 0;
  let c0 = 0, c1 = 0, c2 = 0, c3 = 0;
  let d0 = 0, d1 = 0, d2 = 0, d3 = 0;
  for (let i = 0; i < size; i++, q += PANEL) {
    const x0 = x[p + i], x1 = x[p1 + i], x2 = x[p2 + i], x3 = x[p3 + i];
    const w0 = panels[q], w1 = panels[q + 1], w2 = panels[q + 2], w3 = panels[q + 3];
    a0 += x0 * w0; a1 += x0 * w1; a2 += x0 * w2; a3 += x0 * w3;
    b0 += x1 * w0; b1 += x1 * w1; b2 += x1 * w2; b3 += x1 * w3;
    c0 += x2 * w0; c1 += x2 * w1; c2 += x2 * w2; c3 += x2 * w3;
    d0 += x3 * w0; d1 += x3 * w1; d2 += x3 * w2; d3 += x3 * w3;
  }
  tile[at] = a0; tile[at + 1] = a1; tile[at + 2] = a2; tile[at + 3] = a3;
  tile[at + 8] = b0; tile[at + 9] = b1; tile[at + 10] = b2; tile[at + 11] = b3;
  tile[at + 16] = c0; tile[at + 17] = c1; tile[at + 18] = c2; tile[at + 19] = c3;
  tile[at + 24] = d0; tile[at + 25] = d1; tile[at + 26] = d2; tile[at + 27] = d3;
}

/** tile[j] = the row of x at p times output j of the panel at q. */
function multiplyRow(x, p, panels, q, size, tile) {
  let a0 = 0, a1 = 0, a2 = 0, a3 = 0, a4 = 0, a5 = 0, a6 = 0, a7 = 0;
  for (let i = 0; i < size; i++, q += PANEL) {
    const value = x[p + i];
    a0 += value * panels[q]; a1 += value * panels[q + 1];
    a2 += value * panels[q + 2]; a3 += value * panels[q + 3];
    a4 += value * panels[q + 4]; a5 += value * panels[q + 5];
    a6 += value * panels[q + 6]; a7 += value * panels[q + 7];
  }
  tile[0] = a0; tile[1] = a1; tile[2] = a2; tile[3] = a3;
  tile[4] = a4; tile[5] = a5; tile[6] = a6; tile[7] = a7;
}
