// Continues a text token by token, with the windows of transformer/decoding/loop.py.

const PAUSE_EVERY = 8; // milliseconds of work between looks at new messages

/** Lets waiting messages in. A timeout would take 4 ms each; a message takes microseconds. */
function pause() {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}

/** The tokens that a text of any length is read in, up to block_size. */
class Window {
  constructor(model, ids, pass) {
    if (!ids.length) throw new Error("the text is empty: give at least one character");
    this.model = model;
    this.pass = pass;
    this.state = model.newState();
    this.logits = logitsAfter(model, ids.slice(-model.settings.block_size), this.state, pass);
  }

  /** When the window is full, its older half is dropped, and the rest is read again from 0. */
  add(id) {
    const { model, pass } = this;
    const size = model.settings.block_size;
    let ids = [id];
    if (this.state.tokens.length === size) {
      ids = [...this.state.tokens.slice(size - Math.floor(size / 2)), id];
      this.state = model.newState();
    }
    this.logits = logitsAfter(model, ids, this.state, pass);
  }
}

/**
 * Yields {id, logits} for each new token; `logits` are those that it was drawn from. The caller may
 * stop between tokens.
 */
function* continuation(model, ids, count, settings, pass) {
  const sampler = new Sampler(settings, ids);
  let window = null;
  let id;
  for (let i = 0; i < count; i++) {
    if (window) window.add(id);
    else window = new Window(model, ids, pass);
    const { logits } = window;
    id = sampler.next(logits);
    yield { id, logits };
  }
}
