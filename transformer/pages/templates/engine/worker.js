// Answers the page's messages {id, method, args} with {id, result}, {id, error} or {id, event}.

const METHODS = [
  "encode", "decode", "logits", "explain", "patterns", "write", "stop", "distribution", "translate",
];

/** `open` comes first: its argument is {model, weights}, the texts of the page's two elements. */
function serve(scope) {
  let engine = null;
  async function answer(method, args, emit) {
    if (method === "open") {
      engine = new Engine(openContainer(args[0].model, args[0].weights));
      return engine.facts();
    }
    if (!engine) throw new Error("the model is not open yet");
    if (!METHODS.includes(method)) throw new Error(`unknown method ${method}`);
    return engine[method](...args, ...(method === "write" ? [emit] : []));
  }
  scope.onmessage = async ({ data: { id, method, args = [] } }) => {
    try {
      const result = await answer(method, args, (event) => scope.postMessage({ id, event }));
      const moved = result && result.attention ? [result.attention.buffer] : [];
      scope.postMessage({ id, result }, moved);
    } catch (error) {
      scope.postMessage({ id, error: error.message });
    }
  };
}

if (typeof WorkerGlobalScope !== "undefined") serve(self);
