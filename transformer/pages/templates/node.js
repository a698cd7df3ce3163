"use strict";
// Runs the engine of a page for the program that wrote it: node node.js PAGE. Each line of standard
// input is {method, args}, and gets a line {result} or {error}.

const fs = require("node:fs");
const readline = require("node:readline");
const vm = require("node:vm");
const zlib = require("node:zlib");

const page = fs.readFileSync(process.argv[2], "utf8");

/** The text of the page's element with an id, as `textContent` gives it in a browser. */
function textOf(id) {
  const start = page.indexOf(">", page.indexOf(` id="${id}"`)) + 1;
  return page.slice(start, page.indexOf(`</${"script"}>`, start));
}

const script = zlib.inflateSync(Buffer.from(textOf("engine"), "base64")).toString("utf8");
vm.runInThisContext(script, { filename: "engine" });
const inScope = (code) => vm.runInThisContext(code);

/** The ids that follow, the likeliest each time. */
async function continued(engine, ids, count) {
  const found = [];
  const sampling = { temperature: 0 };
  await engine.write({ ids, count, sampling }, (event) => found.push(event.id));
  return found;
}

/** Numbers as base64 of their bytes: exact, and short. */
const packed = (numbers) =>
  Buffer.from(numbers.buffer, numbers.byteOffset, numbers.byteLength).toString("base64");

const METHODS = {
  logits: (engine, ids) => packed(engine.logits(ids)),
  continued,
  encode: (engine, text) => engine.encode(text).ids,
  decode: (engine, ids) => engine.decode(ids),
  encodeSource: (engine, text) => engine.tokenizer.source.encode(text).ids,
  translate: (engine, request) => engine.translate(request),
};

function opened() {
  const container = inScope("openContainer")(textOf("model"), textOf("weights"));
  return new (inScope("Engine"))(container);
}

async function serve() {
  let engine = null;
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const { method, args } = JSON.parse(line);
    let answer;
    try {
      engine = engine || opened();
      answer = { result: await METHODS[method](engine, ...args) };
    } catch (error) {
      answer = { error: String(error.message) };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
}

serve();
