// The losses by step as a drawing, with a marker at the chosen moment.

const SVG = "http://www.w3.org/2000/svg";
const [WIDE, HIGH, LEFT, BELOW] = [480, 220, 40, 30]; // units of the drawing

function shape(name, attributes, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** Losses by step; steps are spaced by log(1 + step), as moments are kept: early ones change the most. */
class Curve {
  constructor(box, moments, curve) {
    const rows = curve ?? moments.map(({ step, loss }) => [step, loss, null]);
    this.moments = moments;
    const points = [...rows, ...moments.map(({ step, loss }) => [step, loss])];
    const losses = points.flatMap(([, ...known]) => known).filter((loss) => loss != null);
    const steps = points.map(([step]) => step);
    [this.least, this.most] = [Math.min(...losses), Math.max(...losses)];
    this.last = Math.max(...steps, 1);
    const lines = [this.line(rows, "train", 1), this.line(rows, "validation", 2)];
    const dot = ({ step, loss }) =>
      shape("circle", { cx: this.x(step), cy: this.y(loss), r: 3, class: "moment" });
    this.marker = shape("g", { class: "marker" });
    const about = { viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-labelledby": "curve-title" };
    const parts = [...this.axes(), ...lines, ...moments.map(dot), this.marker];
    box.replaceChildren(shape("svg", about, ...parts));
  }

  x(step) {
    const share = Math.log1p(step) / Math.log1p(this.last);
    return LEFT + share * (WIDE - LEFT - 12);
  }

  y(loss) {
    const share = (loss - this.least) / (this.most - this.least || 1);
    return HIGH - BELOW - 8 - share * (HIGH - BELOW - 20);
  }

  line(rows, name, column) {
    const known = rows.filter((row) => row[column] != null);
    const points = known.map((row) => `${this.x(row[0]).toFixed(1)},${this.y(row[column]).toFixed(1)}`);
    return shape("polyline", { points: points.join(" "), class: name });
  }

  axes() {
    const text = (x, y, anchor, says) => shape("text", { x, y, "text-anchor": anchor }, says);
    const losses = [this.least, (this.least + this.most) / 2, this.most];
    const steps = [0];
    for (let step = 1; step <= this.last; step *= 10) steps.push(step);
    return [
      shape("path", { d: `M${LEFT} 4V${HIGH - BELOW}H${WIDE - 4}`, class: "axis" }),
      ...losses.map((loss) => text(LEFT - 5, this.y(loss) + 4, "end", loss.toFixed(2))),
      ...steps.map((step) => text(this.x(step), HIGH - BELOW + 14, "middle", step)),
      text(WIDE - 4, HIGH - 3, "end", "step"),
    ];
  }

  mark(number) {
    const { step, loss } = this.moments[number];
    const [x, y] = [this.x(step), this.y(loss)];
    this.marker.replaceChildren(
      shape("path", { d: `M${x} 4V${HIGH - BELOW}` }),
      shape("circle", { cx: x, cy: y, r: 6 }),
    );
  }
}
