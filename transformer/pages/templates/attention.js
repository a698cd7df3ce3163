// Draws the matrix of the chosen head on a canvas, lets one choose a head, and starts the page.

const MOST_CELL = 26; // pixels of CSS
const LEAST_LABELLED_CELL = 9; // smaller cells: numbers of positions instead of units
const place = { cell: 0, left: 0, top: 0 }; // the matrix on its canvas

const color = (name) =>
  getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim().split(" ").map(Number);

/** T x S pixels, from the background color (0) to the strongest color (1). */
function pixels() {
  const [paper, ink] = [color("paper"), color("cool")];
  const image = new ImageData(S, T);
  weights.forEach((weight, i) => {
    const share = Math.sqrt(weight);
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = paper[c] + share * (ink[c] - paper[c]);
    image.data[4 * i + 3] = 255;
  });
  const canvas = element("canvas", { width: S, height: T });
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

function drawMatrix() {
  if (!data.num_blocks) return;
  const canvas = find("matrix");
  const context = canvas.getContext("2d");
  const font = (size) => (context.font = `${size}px ui-monospace, monospace`);
  font(11);
  const widths = [...data.units, ...columns].map((unit) => context.measureText(drawn(unit)).width);
  const margin = Math.ceil(Math.max(24, ...widths)) + 6;
  const available = Math.max(find("map").clientWidth - margin - 2, 80);
  const cell = Math.min(MOST_CELL, available / S);
  Object.assign(place, { cell, left: margin, top: margin });
  const width = margin + S * cell + 2;
  const height = margin + T * cell + 2;
  const ratio = window.devicePixelRatio || 1;
  Object.assign(canvas, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
  Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` });
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.imageSmoothingEnabled = cell * ratio < 1;
  context.drawImage(pixels(), margin, margin, S * cell, T * cell);
  context.strokeStyle = `rgb(${color("line").join(" ")})`;
  context.strokeRect(margin, margin, S * cell, T * cell);
  context.fillStyle = `rgb(${color("ink").join(" ")})`;
  font(Math.min(11, Math.max(cell, 9)));
  context.textBaseline = "middle";
  drawLabels(context, columns, true);
  drawLabels(context, data.units, false);
  const axes = causal
    ? `each row is a ${WORD} that reads, each column a ${WORD} that is read`
    : "each row is a unit of the target, each column a unit of the source";
  const title = `${headName()}: ${axes}`;
  find("matrix-title").textContent = title[0].toUpperCase() + title.slice(1);
  if (chosen.row === null) return;
  context.strokeStyle = `rgb(${color("hot").join(" ")})`;
  context.lineWidth = 2;
  context.strokeRect(margin, margin + chosen.row * cell, S * cell, cell);
}

/** Writes the units if the cells have room for them, otherwise the numbers of some positions. */
function drawLabels(context, units, across) {
  const { cell, left, top } = place;
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

function cellAt(event) {
  const t = Math.floor((event.offsetY - place.top) / place.cell);
  const s = Math.floor((event.offsetX - place.left) / place.cell);
  return t >= 0 && t < T && s >= 0 && s < S ? [t, s] : null;
}

function listenToMatrix() {
  const [canvas, tip] = [find("matrix"), find("tip")];
  canvas.addEventListener("pointermove", (event) => {
    const cell = cellAt(event);
    tip.hidden = cell === null;
    if (cell === null) return;
    const [t, s] = cell;
    const share = causal && s > t ? "nothing, it comes later" : percent(weights[t * S + s]);
    tip.textContent =
      `“${drawn(data.units[t])}” (${t + 1}) reads “${drawn(columns[s])}” (${s + 1}): ${share}`;
    const room = find("map").clientWidth - tip.offsetWidth;
    tip.style.left = `${Math.max(0, Math.min(event.offsetX + 14, room))}px`;
    tip.style.top = `${event.offsetY + 16}px`;
  });
  canvas.addEventListener("pointerleave", () => (tip.hidden = true));
  canvas.addEventListener("click", (event) => cellAt(event) && choose(cellAt(event)[0]));
}

/** A table of buttons; the color is the entropy divided by its maximum, log2 S. */
function makeEntropies() {
  const most = Math.log2(S) || 1;
  const heads = indices(-1, data.num_heads);
  const head = heads.map((h) => element("th", { scope: "col" }, `${h + 1}`));
  const rows = data.entropy.map((row, block) => {
    const cells = row.map((bits, h) => {
      const button = element("button", { type: "button" }, bits.toFixed(2));
      button.style.setProperty("--share", Math.min(bits / most, 1));
      button.setAttribute("aria-label", `block ${block + 1}, head ${h + 1}: ${bits.toFixed(2)} bits`);
      button.addEventListener("click", () => {
        const again = chosen.block === block && chosen.head === h;
        chooseHead(again ? -1 : block, again ? -1 : h);
      });
      return element("td", {}, button);
    });
    return element("tr", {}, element("th", { scope: "row" }, `block ${block + 1}`), ...cells);
  });
  const top = element("thead", {}, element("tr", {}, element("th", {}, "head"), ...head));
  find("entropy").append(top, element("tbody", {}, ...rows));
}

function makeChoices() {
  for (const [name, count] of [["block", data.num_blocks], ["head", data.num_heads]]) {
    const select = find(name);
    select.append(element("option", { value: "-1" }, "average"));
    for (const i of indices(-1, count)) select.append(element("option", { value: i }, `${i + 1}`));
    select.addEventListener("change", () =>
      chooseHead(Number(find("block").value), Number(find("head").value)),
    );
  }
}

function chooseHead(block, head) {
  Object.assign(chosen, { block, head });
  find("block").value = block;
  find("head").value = head;
  find("entropy").querySelectorAll("button").forEach((button, i) => {
    const pressed = i === block * data.num_heads + head && block >= 0 && head >= 0;
    button.setAttribute("aria-pressed", String(pressed));
  });
  weights = averaged(block, head);
  paint();
}

/** Removes the texts about other kinds of models. */
function keepOnly() {
  const kept = {
    text: causal,
    pair: !causal,
    attention: data.num_blocks > 0,
    none: data.num_blocks === 0,
    written: data.num_written > 0,
  };
  for (const [name, here] of Object.entries(kept)) {
    if (!here) document.querySelectorAll(`.of-${name}`).forEach((part) => part.remove());
  }
  document.querySelectorAll(".unit-word").forEach((part) => (part.textContent = WORD));
}

async function start() {
  keepOnly();
  const mean = data.mean_surprise;
  const loss = mean === null ? "" : `, ${mean.toFixed(2)} bits of surprise per ${WORD} on average`;
  const perByte = data.mean_per_byte;
  const inBytes = perByte === null ? "" : `, ${perByte.toFixed(2)} bits per byte`;
  find("facts").textContent = `${data.model}: ${T} ${WORD}${T > 1 ? "s" : ""}${loss}${inBytes}`;
  find("cut").textContent = data.cut;
  makeText();
  listen();
  if (data.num_blocks) {
    levels = await unpacked(data.attention);
    makeChoices();
    makeEntropies();
    listenToMatrix();
    chooseHead(-1, -1);
    window.addEventListener("resize", drawMatrix);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawMatrix);
  } else {
    paint();
  }
  document.body.dataset.ready = "true";
}

start();
