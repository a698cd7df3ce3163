// Calls of the engine, which runs in a worker, so that the page stays smooth.

class EngineCalls {
  constructor(source) {
    const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    this.worker = new Worker(url);
    this.waiting = new Map();
    this.numCalls = 0;
    this.written = Promise.resolve();
    this.worker.addEventListener("message", ({ data }) => this.receive(data));
    this.worker.addEventListener("error", (event) => {
      event.preventDefault();
      for (const { reject } of this.waiting.values()) reject(new Error(event.message || "the engine did not start"));
    });
  }

  receive({ id, result, error, event }) {
    const { resolve, reject, hear } = this.waiting.get(id) ?? {};
    if (!resolve) return;
    if (event !== undefined) return hear(event);
    this.waiting.delete(id);
    if (error === undefined) resolve(result);
    else reject(new Error(error));
  }

  /** Calls a method of the engine; `hear` gets the events before its result. */
  hearing(hear, method, ...args) {
    const id = ++this.numCalls;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject, hear });
      this.worker.postMessage({ id, method, args });
    });
  }

  call(method, ...args) {
    return this.hearing(() => {}, method, ...args);
  }

  /** Texts are written one after another: the engine would end one when another begins. */
  write(hear, wish) {
    const started = this.written;
    const done = started.then(() => this.hearing(hear, "write", wish));
    this.written = done.catch(() => {});
    return { started, done };
  }
}

/** Runs `work` for the newest arguments; those that came in between are left out. */
function latest(work) {
  let next = null;
  let running = null;
  const run = async () => {
    while (next) {
      const args = next;
      next = null;
      await work(...args);
    }
  };
  return (...args) => {
    next = args;
    running ??= run().finally(() => (running = null));
    return running;
  };
}

/** What is odd in a prompt: characters that the model does not know, and what it cannot read. */
function remarks({ ids, pieces, unknown }, blockSize, word) {
  const said = [];
  if (unknown.length) {
    const names = [...new Set(unknown.map(({ character }) => character))];
    const shown = names.slice(0, 8).flatMap((name, i) => [i ? ", " : "", quoted(name)]);
    const more = names.length > 8 ? ` and ${names.length - 8} more` : "";
    said.push(["The model never saw ", ...shown, `${more}: left out.`]);
  }
  if (!ids.length) said.push([`Give at least one ${word} that the model knows.`]);
  const first = ids.length - blockSize;
  if (first > 0) {
    const begin = element("bdi", {}, `“${pieces.slice(first, first + 20).map(drawn).join("")}…”`);
    const reads = `The text has ${ids.length} ${word}s. The model reads the last ${blockSize}: the window begins at `;
    said.push([reads, begin, "."]);
  }
  return said.map((parts) => element("p", {}, ...parts));
}
