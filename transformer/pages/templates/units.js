"use strict";
// What several pages share: texts made visible, elements, and bars.

const MOST_BITS = 8; // of the color scale of surprise
const find = (id) => document.getElementById(id);
const percent = (share) => `${(100 * share).toFixed(1)}\u00a0%`; // on one line
const MARKS = { " ": "␣", "\n": "↵", "\t": "⇥", "\r": "␍" };
const NAMES = { " ": "space", "\n": "line end", "\t": "tab", "\r": "carriage return" };

function visible(character) {
  if (character in MARKS) return MARKS[character];
  if (!/^[\p{Control}\p{Format}\u2028\u2029]$/u.test(character)) return character;
  return `U+${character.codePointAt(0).toString(16).padStart(4, "0")}`;
}

/** Makes a unit visible: white space becomes a symbol; a combining accent gets a dotted circle. */
function drawn(unit) {
  const text = [...unit].map(visible).join("");
  return /^\p{Mark}/u.test(text) ? `◌${text}` : text;
}

/** Units as running text: spaces and line ends stay, what cannot be seen becomes a symbol. */
const running = (units) =>
  [...units.join("")].map((one) => (one === " " || one === "\n" ? one : visible(one))).join("");

const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
const capital = (text) => text[0].toUpperCase() + text.slice(1);

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/** A unit's text, apart from the direction of the text around it. */
const quoted = (unit) => element("bdi", {}, `“${drawn(unit)}”`);

/** The numbers red, green and blue of a color of page.css. */
const color = (name) =>
  getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim().split(" ").map(Number);

/** The numbers to go through: all below `count` for -1, otherwise one. */
const indices = (number, count) => (number < 0 ? [...Array(count).keys()] : [number]);

// --- bars ---

function length(share) {
  const made = element("span", { className: "share" });
  made.style.setProperty("--share", share);
  return made;
}

/** The three columns of a bar: name, length, percent. */
function barParts(unit, share, { actual = false, note = "" } = {}) {
  const name = element("span", {}, element("bdi", {}, drawn(unit)), note, actual ? " ✓" : "");
  return [name, length(share), element("span", {}, percent(share))];
}

function bar(unit, share, about = {}) {
  return element("li", { className: about.actual ? "actual" : "" }, ...barParts(unit, share, about));
}

function bars(name, title, rows) {
  return element("div", { className: name }, element("p", {}, title), element("ol", {}, ...rows));
}

/** Removes the texts about other kinds of models; `kept` says which kinds this one is. */
function removeOthers(kept, word) {
  for (const [name, here] of Object.entries(kept)) {
    if (!here) document.querySelectorAll(`.of-${name}`).forEach((part) => part.remove());
  }
  document.querySelectorAll(".unit-word").forEach((part) => (part.textContent = word));
}

/** The bytes of base64 text that zlib has compressed. */
async function unpacked(text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
