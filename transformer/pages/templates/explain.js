"use strict";
// transformer/inspection/page.py makes `data`; each of T rows reads from S columns.

const MOST_BITS = 8; // of the color scale
const data = JSON.parse(document.getElementById("data").textContent);
const causal = data.source === null;
const columns = causal ? data.units : data.source;
const T = data.units.length;
const S = columns.length;
const WORD = data.word;

const find = (id) => document.getElementById(id);
const percent = (share) => `${(100 * share).toFixed(1)}\u00a0%`; // on one line
const MARKS = { " ": "␣", "\n": "↵", "\t": "⇥", "\r": "␍" };
const NAMES = { " ": "space", "\n": "line end", "\t": "tab", "\r": "carriage return" };

function visible(character) {
  if (character in MARKS) return MARKS[character];
  if (!/^\p{Control}$/u.test(character)) return character;
  return `U+${character.codePointAt(0).toString(16).padStart(4, "0")}`;
}

/** Makes a unit visible: white space becomes a symbol; a combining accent gets a dotted circle. */
function drawn(unit) {
  const text = [...unit].map(visible).join("");
  return /^\p{Mark}/u.test(text) ? `◌${text}` : text;
}

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

// --- the chosen block, head and row, and the weights ---

const chosen = { block: -1, head: -1, row: null }; // -1 is the average
let levels = new Uint8Array(); // 255 sqrt(w): blocks, heads, rows; a causal row t ends at column t
let weights = new Float32Array(); // (T, S) of the chosen block and head

async function unpacked(text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** The indices to average over: all for -1, otherwise one. */
const indices = (number, count) => (number < 0 ? [...Array(count).keys()] : [number]);

function averaged(block, head) {
  const sum = new Float32Array(T * S);
  const blocks = indices(block, data.num_blocks);
  const heads = indices(head, data.num_heads);
  const size = causal ? (T * (T + 1)) / 2 : T * S;
  for (const b of blocks) {
    for (const h of heads) {
      let place = (b * data.num_heads + h) * size;
      for (let t = 0; t < T; t++) {
        for (let s = 0; s < (causal ? t + 1 : S); s++) sum[t * S + s] += levels[place++] ** 2;
      }
    }
  }
  const scale = 255 * 255 * blocks.length * heads.length;
  return sum.map((total) => total / scale);
}

function headName() {
  const { block, head } = chosen;
  if (block < 0 && head < 0) return "the average of all blocks and heads";
  if (block < 0) return `head ${head + 1}, the average of all blocks`;
  if (head < 0) return `block ${block + 1}, the average of its heads`;
  return `block ${block + 1}, head ${head + 1}`;
}

// --- the text, a listbox of units ---

const options = [];
const sources = [];

function makeText() {
  const list = find("text");
  data.units.forEach((unit, t) => {
    const bits = data.surprises[t];
    const option = makeUnit(unit);
    option.id = `unit-${t}`;
    option.tabIndex = t ? -1 : 0;
    option.setAttribute("role", "option");
    option.setAttribute("aria-selected", "false");
    const surprise = bits === null ? "not predicted" : `surprise ${bits.toFixed(1)} bits`;
    option.setAttribute("aria-label", `${NAMES[unit] ?? unit}, ${surprise}`);
    option.classList.toggle("first", bits === null);
    option.classList.toggle("written", t >= T - data.num_written);
    options.push(option);
    const longer = WORD === "character" ? "" : element("wbr"); // a line may break between pieces
    list.append(option, unit.endsWith("\n") ? element("br") : longer);
  });
  if (causal) return;
  for (const unit of data.source) sources.push(makeUnit(unit));
  find("source").append(...sources);
  for (const text of [list, find("source")]) text.classList.add("apart");
}

function makeUnit(unit) {
  const text = causal && unit === " " ? unit : drawn(unit); // a line may break at a real space
  return element("span", { className: "unit", textContent: text });
}

function listen() {
  const list = find("text");
  const place = (event) => options.indexOf(event.target.closest(".unit"));
  list.addEventListener("pointerover", (event) => place(event) >= 0 && show(place(event)));
  list.addEventListener("pointerleave", () => show(resting()));
  list.addEventListener("focusin", (event) => place(event) >= 0 && show(place(event)));
  list.addEventListener("click", (event) => place(event) >= 0 && choose(place(event), true));
  list.addEventListener("keydown", (event) => {
    const t = place(event);
    if (t < 0 || event.ctrlKey || event.altKey || event.metaKey) return;
    const next = { ArrowLeft: t - 1, ArrowRight: t + 1, Home: 0, End: T - 1 }[event.key];
    if (event.key === "Enter" || event.key === " ") choose(t, true);
    else if (event.key === "Escape") choose(null);
    else if (event.key === "ArrowUp") focus(onOtherLine(t, -1));
    else if (event.key === "ArrowDown") focus(onOtherLine(t, 1));
    else if (next !== undefined) focus(Math.min(Math.max(next, 0), T - 1));
    else return;
    event.preventDefault();
  });
}

/** The unit nearest to this one on the next line above (-1) or below (1). */
function onOtherLine(t, direction) {
  const here = options[t].getBoundingClientRect();
  let line = null;
  let best = t;
  let least = Infinity;
  for (let i = t + direction; i >= 0 && i < T; i += direction) {
    const there = options[i].getBoundingClientRect();
    if (Math.abs(there.top - here.top) < here.height / 2) continue;
    if (line !== null && Math.abs(there.top - line) > here.height / 2) break;
    line = there.top;
    if (Math.abs(there.left - here.left) < least) {
      least = Math.abs(there.left - here.left);
      best = i;
    }
  }
  return best;
}

function focus(t) {
  for (const option of options) option.tabIndex = -1;
  options[t].tabIndex = 0;
  options[t].focus();
}

/** Selects a row; with `toggle`, a selected row is deselected. */
function choose(t, toggle = false) {
  chosen.row = toggle && t === chosen.row ? null : t;
  if (t !== null) for (const [i, option] of options.entries()) option.tabIndex = i === t ? 0 : -1;
  paint();
}

/** Colors units by surprise, or by how much the selected row reads from them. */
function paint() {
  const { row } = chosen;
  const reads = row !== null && data.num_blocks > 0;
  const read = reads ? [...weights.subarray(row * S, (row + 1) * S)] : [];
  const most = Math.max(...read, 1e-9);
  document.body.classList.toggle("selecting", reads);
  options.forEach((option, t) => {
    const surprise = reads ? 0 : Math.min((data.surprises[t] ?? 0) / MOST_BITS, 1);
    option.style.setProperty("--share", reads && causal ? read[t] / most : surprise);
    option.setAttribute("aria-selected", String(t === row));
  });
  sources.forEach((unit, s) => unit.style.setProperty("--share", reads ? read[s] / most : 0));
  find("legend-title").textContent = reads
    ? `What “${drawn(data.units[row])}” reads, ${headName()}:`
    : "Surprise:";
  find("legend-low").textContent = reads ? "0 %" : "0";
  find("legend-high").textContent = reads ? percent(most) : `${MOST_BITS} bits or more`;
  show(shown ?? resting());
  drawMatrix();
}

// --- the panel beside the text ---

let shown = null;
const resting = () => chosen.row ?? options.indexOf(document.activeElement);

function show(t) {
  shown = t >= 0 ? t : null;
  const panel = find("panel");
  if (shown === null) {
    const ways = { "by-mouse": "Point at", "by-touch": "Touch" };
    const words = Object.entries(ways).map(([className, textContent]) =>
      element("span", { className, textContent }),
    );
    panel.replaceChildren(element("p", {}, ...words, ` a ${WORD} to see the five most likely ${WORD}s in its place.`));
    return;
  }
  const bits = data.surprises[t];
  const name = element("span", { className: "name" }, `“${drawn(data.units[t])}”`);
  panel.replaceChildren(element("p", {}, name, ` ${WORD} ${t + 1} of ${T}`));
  if (bits === null) {
    panel.append(element("p", {}, "This is the first: nothing is before it, so it was not predicted."));
  } else {
    const share = percent(2 ** -bits);
    const size = data.num_bytes?.[t]; // 0 for a token that ends a text
    const perByte = size ? `, ${(bits / size).toFixed(2)} per byte` : "";
    panel.append(element("p", {}, `Surprise ${bits.toFixed(2)} bits${perByte}: p = ${share}`));
    const rows = data.alternatives[t].map(([unit, p]) => bar(unit, p, unit === data.units[t]));
    panel.append(bars("alternatives", "Most likely here:", rows));
  }
  if (chosen.row !== null && data.num_blocks) panel.append(readings(chosen.row));
}

function bars(name, title, rows) {
  return element("div", { className: name }, element("p", {}, title), element("ol", {}, ...rows));
}

function bar(unit, share, actual = false) {
  const length = element("span", { className: "share" });
  length.style.setProperty("--share", share);
  const name = element("span", {}, drawn(unit) + (actual ? " ✓" : ""));
  return element("li", { className: actual ? "actual" : "" }, name, length, percent(share));
}

function readings(row) {
  const read = [...weights.subarray(row * S, (row + 1) * S).entries()];
  read.sort((one, other) => other[1] - one[1]);
  const rows = read.slice(0, 5).map(([s, share]) => bar(`${drawn(columns[s])} ${s + 1}`, share));
  return bars("reads", `“${drawn(data.units[row])}” reads most:`, rows);
}
