"use strict";
// Text <-> ids as transformer/data/tokenizers does it; transformer/pages/live/vocabulary.py writes
// the data. Unicode classes are ranges of that data, because a browser's are of its own version.

const FIRST_UNIT = 3; // of a side of pairs: padding, begin and end have the ids before it
const UTF8 = new TextDecoder("utf-8", { ignoreBOM: true });

/** UTF-8; a lone surrogate is the byte that Python's surrogateescape makes of it, or three. */
function asBytes(text) {
  const bytes = [];
  for (const character of text) {
    const point = character.codePointAt(0);
    if (point < 0x80) bytes.push(point);
    else if (point < 0x800) bytes.push(0xc0 | (point >> 6), 0x80 | (point & 63));
    else if (point >= 0xdc80 && point <= 0xdcff) bytes.push(point - 0xdc00);
    else if (point < 0x10000) {
      bytes.push(0xe0 | (point >> 12), 0x80 | ((point >> 6) & 63), 0x80 | (point & 63));
    } else {
      bytes.push(0xf0 | (point >> 18), 0x80 | ((point >> 12) & 63));
      bytes.push(0x80 | ((point >> 6) & 63), 0x80 | (point & 63));
    }
  }
  return Uint8Array.from(bytes);
}

/** The text of some bytes; if they are no whole characters, each in hexadecimal. */
function shownBytes(bytes) {
  try {
    return new TextDecoder("utf-8", { ignoreBOM: true, fatal: true }).decode(bytes);
  } catch {
    return Array.from(bytes, (byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("");
  }
}

/**
 * What all have: `pieces`, each id as a person reads it; `endOfText`, an id or null;
 * `encode(text)` -> {ids, pieces, unknown: [{character, index}]}, where `index` counts as
 * `text[index]` does, and an unknown unit has no id; `decode(ids)`.
 */
class UnitTokenizer {
  constructor(vocabulary, first = 0) {
    this.pieces = [...Array(first).fill(""), ...vocabulary];
    this.endOfText = null;
    this.first = first;
    this.between = "";
    this.ids = new Map(vocabulary.map((unit, place) => [unit, first + place]));
  }

  /** Each unit of a text and where it begins. */
  *units(text) {
    let index = 0;
    for (const character of text) {
      yield [character, index];
      index += character.length;
    }
  }

  encode(text) {
    const ids = [];
    const unknown = [];
    for (const [unit, index] of this.units(text)) {
      const id = this.ids.get(unit);
      if (id === undefined) unknown.push({ character: unit, index });
      else ids.push(id);
    }
    return { ids, pieces: ids.map((id) => this.pieces[id]), unknown };
  }

  decode(ids) {
    const units = Array.from(ids).filter((id) => id >= this.first);
    return units.map((id) => this.pieces[id]).join(this.between);
  }
}

class WordTokenizer extends UnitTokenizer {
  constructor(vocabulary, first) {
    super(vocabulary, first);
    this.between = " ";
  }

  /** What Python's str.split() gives: its white space is not that of JavaScript's \s. */
  *units(text) {
    const word = /[^\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/g;
    for (const match of text.matchAll(word)) yield [match[0], match.index];
  }
}

class ByteTokenizer {
  constructor(parts, specials, first = 0) {
    const names = new Map(specials);
    this.first = first;
    this.parts = parts;
    const shown = parts.map((part, place) => names.get(place) ?? shownBytes(part));
    this.pieces = [...Array(first).fill(""), ...shown];
    this.endOfText = null;
  }

  encode(text) {
    const ids = Array.from(this.idsOf(text), (id) => id + this.first);
    return { ids, pieces: ids.map((id) => this.pieces[id]), unknown: [] };
  }

  idsOf(text) {
    return asBytes(text);
  }

  decode(ids) {
    const parts = Array.from(ids).map((id) => this.parts[id - this.first] ?? new Uint8Array());
    const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let place = 0;
    for (const part of parts) {
      bytes.set(part, place);
      place += part.length;
    }
    return UTF8.decode(bytes);
  }
}

/** Flat [first, length, ...], each first counted from the end of the range before -> a RegExp's. */
function classOf(deltas) {
  let at = 0;
  let text = "";
  for (let place = 0; place < deltas.length; place += 2) {
    const start = at + deltas[place];
    at = start + deltas[place + 1];
    text += `\\u{${start.toString(16)}}-\\u{${(at - 1).toString(16)}}`;
  }
  return text;
}

// Byte pairs never cross the words of these patterns: WORDS in data/tokenizers/hugging_face.py,
// and the patterns of GPT-2 and Llama 3. L, N and S are letters, numbers and white space.
const SHORT = "'(?:[sS\u017f]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])";
const WORD_PATTERNS = {
  qwen2: ({ L, N, S }) =>
    `${SHORT}|[^\\r\\n${L}${N}]?[${L}]+|[${N}]| ?[^${S}${L}${N}]+[\\r\\n]*` +
    `|[${S}]*[\\r\\n]+|[${S}]+(?![^${S}])|[${S}]+`,
  "llama-bpe": ({ L, N, S }) =>
    `${SHORT}|[^\\r\\n${L}${N}]?[${L}]+|[${N}]{1,3}| ?[^${S}${L}${N}]+[\\r\\n]*` +
    `|[${S}]*[\\r\\n]+|[${S}]+(?![^${S}])|[${S}]+`,
  "gpt-2": ({ L, N, S }) =>
    `'(?:s|t|re|ve|m|ll|d)| ?[${L}]+| ?[${N}]+| ?[^${S}${L}${N}]+|[${S}]+(?![^${S}])|[${S}]+`,
  digits: ({ D }) => `[${D}]|[^${D}]+`,
};
const MOST_KNOWN_WORDS = 50000;

/** Byte-level byte pair encoding (Sennrich et al. 2016, arXiv:1508.07909; GPT-2, section 2.2). */
class PairMerger extends ByteTokenizer {
  constructor(data, first = 0) {
    const parts = Array(data.vocab_size).fill(new Uint8Array());
    data.bytes.forEach((id, byte) => (parts[id] = Uint8Array.of(byte)));
    const merges = mergesOf(data);
    for (const [left, right, id] of merges) {
      if (!parts[id].length) parts[id] = Uint8Array.of(...parts[left], ...parts[right]);
    }
    for (const [id, text] of data.others) parts[id] = asBytes(text);
    super(parts, data.specials, first);
    this.bytes = data.bytes;
    this.size = data.vocab_size;
    this.ranks = new Map(merges.map(([l, r, id], rank) => [l * this.size + r, [rank, id]]));
    const classes = Object.entries(data.classes).map(([name, deltas]) => [name, classOf(deltas)]);
    const letters = Object.fromEntries(classes);
    this.words = data.words.map((name) => new RegExp(WORD_PATTERNS[name](letters), "gu"));
    this.normalize = data.nfc;
    this.whole = data.whole_words ? new Map(parts.map((p, id) => [String(p), id])) : new Map();
    this.known = new Map();
  }

  idsOf(text) {
    const lone = /\p{Surrogate}/u.test(text); // bytes that are no UTF-8 count as U+FFFD
    let whole = lone ? UTF8.decode(asBytes(text)) : text;
    if (this.normalize) whole = whole.normalize("NFC");
    let words = whole ? [whole] : [];
    for (const word of this.words) words = words.flatMap((part) => part.match(word) ?? []);
    const ids = [];
    for (const word of words) for (const id of this.idsOfWord(word)) ids.push(id);
    return ids;
  }

  idsOfWord(word) {
    let ids = this.known.get(word);
    if (ids === undefined) {
      if (this.known.size >= MOST_KNOWN_WORDS) this.known.clear();
      const bytes = asBytes(word);
      const id = this.whole.get(String(bytes));
      ids = id === undefined ? this.merged(Array.from(bytes, (byte) => this.bytes[byte])) : [id];
      this.known.set(word, ids);
    }
    return ids;
  }

  /** Joins the pair that was learned first, wherever it stands first, until none is left. */
  merged(ids) {
    for (;;) {
      let best = null;
      let place = -1;
      for (let at = 0; at + 1 < ids.length; at++) {
        const found = this.ranks.get(ids[at] * this.size + ids[at + 1]);
        if (found !== undefined && (best === null || found[0] < best[0])) {
          best = found;
          place = at;
        }
      }
      if (best === null) return ids;
      ids.splice(place, 2, best[1]);
    }
  }
}

/** `merges` is flat [left, right, ...]; `made` is flat [id, number]: ids that follow each other. */
function mergesOf({ merges, made }) {
  const ids = [];
  for (let at = 0; at < made.length; at += 2) {
    for (let number = 0; number < made[at + 1]; number++) ids.push(made[at] + number);
  }
  return ids.map((id, rank) => [merges[2 * rank], merges[2 * rank + 1], id]);
}

const END_NAME = "<|endoftext|>";
const SINGLE_BYTES = Array.from({ length: 257 }, (_, byte) =>
  byte < 256 ? Uint8Array.of(byte) : new Uint8Array(),
);
const TOKENIZERS = {
  characters: (data, first) =>
    new UnitTokenizer(data.points.map((point) => String.fromCodePoint(point)), first),
  words: (data, first) => new WordTokenizer(data.vocabulary, first),
  bytes: (_, first) => new ByteTokenizer(SINGLE_BYTES, [[256, END_NAME]], first),
  bpe: (data, first) => new PairMerger(data, first),
};

/** The tokenizer of the page's data; of pairs, {source, target}, whose ids begin at 3. */
function makeTokenizer(data, first = 0) {
  if (data.kind === "pairs") {
    return {
      source: makeTokenizer(data.source, FIRST_UNIT),
      target: makeTokenizer(data.target, FIRST_UNIT),
    };
  }
  const made = TOKENIZERS[data.kind](data, first);
  if (typeof data.end_of_text === "number") made.endOfText = data.end_of_text + first;
  return made;
}
