// Draws a matrix of attention on a canvas: each of T rows reads from S columns.

const MOST_CELL = 26; // pixels of CSS
const LEAST_LABELLED_CELL = 9; // smaller cells: numbers of positions instead of units

/** T x S pixels, from the background color (0) to the strongest color (1). */
function pixels({ weights, rows, columns }) {
  const [paper, ink] = [color("paper"), color("cool")];
  const image = new ImageData(columns.length, rows.length);
  weights.forEach((weight, i) => {
    const share = Math.sqrt(weight);
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = paper[c] + share * (ink[c] - paper[c]);
    image.data[4 * i + 3] = 255;
  });
  const canvas = element("canvas", { width: columns.length, height: rows.length });
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

class Matrix {
  /** `box` holds the canvas and, if it has one, an element of the class tip. */
  constructor(box, choose = () => {}) {
    this.box = box;
    this.canvas = box.querySelector("canvas");
    this.place = { cell: 0, left: 0, top: 0 }; // the matrix on its canvas
    this.listen(choose);
    const again = () => this.shown && this.draw(this.shown);
    window.addEventListener("resize", again);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  }

  /** `shown`: weights (T, S), rows, columns, causal, and the number of the selected row or null. */
  draw(shown) {
    this.shown = shown;
    const { rows, columns, row } = shown;
    const context = this.sized(rows, columns);
    const { cell, left, top } = this.place;
    const [width, height] = [columns.length * cell, rows.length * cell];
    context.drawImage(pixels(shown), left, top, width, height);
    context.strokeStyle = `rgb(${color("line").join(" ")})`;
    context.strokeRect(left, top, width, height);
    context.fillStyle = `rgb(${color("ink").join(" ")})`;
    context.font = font(Math.min(11, Math.max(cell, 9)));
    context.textBaseline = "middle";
    this.drawLabels(context, columns, true);
    this.drawLabels(context, rows, false);
    if (row === null) return;
    context.strokeStyle = `rgb(${color("hot").join(" ")})`;
    context.lineWidth = 2;
    context.strokeRect(left, top + row * cell, width, cell);
  }

  /** Makes the canvas as large as the matrix and its labels. */
  sized(rows, columns) {
    const context = this.canvas.getContext("2d");
    context.font = font(11);
    const widths = [...rows, ...columns].map((unit) => context.measureText(drawn(unit)).width);
    const margin = Math.ceil(Math.max(24, ...widths)) + 6;
    const available = Math.max(this.box.clientWidth - margin - 2, 80);
    const cell = Math.min(MOST_CELL, available / columns.length);
    this.place = { cell, left: margin, top: margin };
    const width = margin + columns.length * cell + 2;
    const height = margin + rows.length * cell + 2;
    const ratio = window.devicePixelRatio || 1;
    const size = { width: Math.round(width * ratio), height: Math.round(height * ratio) };
    Object.assign(this.canvas, size);
    Object.assign(this.canvas.style, { width: `${width}px`, height: `${height}px` });
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.imageSmoothingEnabled = cell * ratio < 1;
    return context;
  }

  /** Writes the units if the cells have room for them, otherwise the numbers of some positions. */
  drawLabels(context, units, across) {
    const { cell, left, top } = this.place;
    const named = cell >= LEAST_LABELLED_CELL;
    const step = named ? 1 : [5, 10, 20, 25, 50, 100, 200, 500].find((n) => n * cell >= 28) ?? 1000;
    for (let i = named ? 0 : step - 1; i < units.length; i += step) {
      const label = named ? drawn(units[i]) : String(i + 1);
      const middle = (i + 0.5) * cell;
      const upright = across && context.measureText(label).width > (named ? cell : 28);
      context.save();
      context.translate(across ? left + middle : left - 4, across ? top - 4 : top + middle);
      if (upright) context.rotate(-Math.PI / 2);
      context.textAlign = across ? (upright ? "left" : "center") : "right";
      if (across && !upright) context.textBaseline = "bottom";
      context.fillText(label, 0, 0);
      context.restore();
    }
  }

  cellAt(event) {
    const { cell, left, top } = this.place;
    const t = Math.floor((event.offsetY - top) / cell);
    const s = Math.floor((event.offsetX - left) / cell);
    const { rows, columns } = this.shown;
    return t >= 0 && t < rows.length && s >= 0 && s < columns.length ? [t, s] : null;
  }

  listen(choose) {
    const tip = this.box.querySelector(".tip");
    this.canvas.addEventListener("pointermove", (event) => {
      const cell = this.shown ? this.cellAt(event) : null;
      tip.hidden = cell === null;
      if (cell === null) return;
      this.describe(tip, ...cell);
      const room = this.box.clientWidth - tip.offsetWidth;
      tip.style.left = `${Math.max(0, Math.min(event.offsetX + 14, room))}px`;
      tip.style.top = `${event.offsetY + 16}px`;
    });
    this.canvas.addEventListener("pointerleave", () => (tip.hidden = true));
    this.canvas.addEventListener("click", (event) => {
      const cell = this.shown && this.cellAt(event);
      if (cell) choose(cell[0]);
    });
  }

  describe(tip, t, s) {
    const { weights, rows, columns, causal } = this.shown;
    const share = weights[t * columns.length + s];
    const says = causal && s > t ? "nothing, it comes later" : percent(share);
    tip.replaceChildren(
      ...[quoted(rows[t]), ` (${t + 1}) reads `, quoted(columns[s]), ` (${s + 1}): ${says}`],
    );
  }
}

const font = (size) => `${size}px ui-monospace, monospace`;
