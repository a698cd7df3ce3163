"use strict";
// The model of a page: transformer/pages/live/packing.py writes it, openContainer reads it.

const DAMAGED =
  "This file is damaged: it does not match its checksum. Get it anew from where you have it, or " +
  "export the model again.";

const BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const SIXTHS = new Uint8Array(128).fill(255);
for (let value = 0; value < 64; value++) SIXTHS[BASE64.charCodeAt(value)] = value;

/** The bytes of base64 text (RFC 4648), without an intermediate text, which `atob` would make. */
function decodeBase64(text) {
  const end = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  const bytes = new Uint8Array((text.length / 4) * 3 - end);
  if (text.length % 4) throw new Error(DAMAGED);
  let seen = 0; // above 63 once a character was none of base64
  let place = 0;
  for (let at = 0; at < text.length; at += 4) {
    const last = at + 4 === text.length ? end : 0;
    const a = sixth(text.charCodeAt(at));
    const b = sixth(text.charCodeAt(at + 1));
    const c = last > 1 ? 0 : sixth(text.charCodeAt(at + 2));
    const d = last > 0 ? 0 : sixth(text.charCodeAt(at + 3));
    seen |= a | b | c | d;
    bytes[place++] = (a << 2) | (b >> 4);
    if (last < 2) bytes[place++] = (b << 4) | (c >> 2);
    if (last < 1) bytes[place++] = (c << 6) | d;
  }
  if (seen > 63) throw new Error(DAMAGED);
  return bytes;
}

const sixth = (code) => (code < 128 ? SIXTHS[code] : 255);

// Of the polynomial of ISO 3309, reflected, as in zlib: RFC 1952, section 8.
const REMAINDERS = Uint32Array.from({ length: 256 }, (_, byte) => {
  let remainder = byte;
  for (let bit = 0; bit < 8; bit++) {
    remainder = remainder & 1 ? (remainder >>> 1) ^ 0xedb88320 : remainder >>> 1;
  }
  return remainder;
});

/** CRC-32 of bytes that follow those with the checksum `before`. */
function crc32(bytes, before = 0) {
  let remainder = ~before;
  for (let at = 0; at < bytes.length; at++) {
    remainder = (remainder >>> 8) ^ REMAINDERS[(remainder ^ bytes[at]) & 255];
  }
  return ~remainder >>> 0;
}

/** One row of `tensors`: a view of the bytes, not a copy. */
function openTensor({ shape, format, offset, scales }, buffer, start) {
  const size = shape.reduce((product, length) => product * length, 1);
  if (format === "float32") {
    return { shape, data: new Float32Array(buffer, start + offset, size), scales: null };
  }
  const data = new Int8Array(buffer, start + offset, size);
  return { shape, data, scales: new Float32Array(buffer, start + scales, shape[0]) };
}

/** `start` is the place of the first byte that offsets count from. */
const openTensors = (rows, buffer, start = 0) =>
  new Map(rows.map((row) => [row.name, openTensor(row, buffer, start)]));

/**
 * The model of the texts of the page's elements `model` (JSON) and `weights` (base64).
 *
 * The checksum is the first value of the JSON, and covers its text from the first comma on, and
 * the decoded bytes. Throws an Error with one line for a reader if it does not match.
 */
function openContainer(modelText, weightsText) {
  const text = modelText.trim();
  const bytes = decodeBase64(weightsText.trim());
  const rest = text.slice(text.indexOf(","));
  const checksum = crc32(bytes, crc32(Uint8Array.from(rest, (c) => c.charCodeAt(0))));
  let model;
  try {
    model = JSON.parse(text);
  } catch {
    throw new Error(DAMAGED);
  }
  if (Object(model).crc32 !== checksum) throw new Error(DAMAGED);
  const snapshots = model.snapshots.map((snapshot) => ({
    ...snapshot,
    tensors: openTensors(model.snapshot_tensors, bytes.buffer, snapshot.start),
  }));
  return { ...model, tensors: openTensors(model.tensors, bytes.buffer), snapshots };
}
