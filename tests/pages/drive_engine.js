// Reads a job, runs each call with the engine, writes the results as JSON: node drive_engine.js JOB
"use strict";
const fs = require("node:fs");
const vm = require("node:vm");

const job = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));
const bytes = fs.readFileSync(job.weights);
const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
// Declarations of a script are seen by later scripts, as those of a page are.
vm.runInThisContext(fs.readFileSync(job.script, "utf8"), { filename: "engine.js" });
const inScope = (code) => vm.runInThisContext(code);

const opened = ({ start, rows }) => inScope("openTensors")(rows, buffer, start);

// Texts are numbers, if a model has no tokenizer.
const numbers = {
  pieces: Array.from({ length: 1000 }, (_, id) => String(id)),
  encode(text) {
    const ids = text.split(" ").map(Number);
    return { ids, pieces: ids.map(String), unknown: [] };
  },
  decode: (ids) => ids.join(" "),
};
const NUMBERS = { ...numbers, source: numbers, target: numbers };
const engines = new Map(); // by number of the model
globalThis.engines = engines;
function engineOf(number) {
  if (engines.has(number)) return engines.get(number);
  const { architecture, tokenizer, tensors, snapshots } = job.models[number];
  const container = {
    architecture,
    tokenizer,
    tensors: opened(tensors),
    snapshots: snapshots.map((one) => ({ tensors: opened(one) })),
  };
  const engine = new (inScope("Engine"))(container);
  if (!tokenizer) engine.tokenizer = NUMBERS;
  engines.set(number, engine);
  return engine;
}

/** {result, events, ms of processor time} or {error}; without a method, args[0] is evaluated. */
async function run({ model, method, args }) {
  const events = [];
  const emit = method === "write" ? [(event) => events.push(event)] : [];
  const started = process.cpuUsage();
  try {
    const result = method
      ? await engineOf(model)[method](...args, ...emit)
      : await inScope(args[0]);
    const { user, system } = process.cpuUsage(started);
    return { result, events, ms: (user + system) / 1000 };
  } catch (error) {
    return { error: error.message };
  }
}

(async () => {
  const results = [];
  for (const call of job.calls) results.push(await run(call));
  const plain = (_, value) => (ArrayBuffer.isView(value) ? Array.from(value) : value);
  fs.writeFileSync(job.results, JSON.stringify(results, plain));
})();
