// How the model learned: a slider through the snapshots that training kept.

class Learning {
  /** `moments` are the snapshots' {step, loss}. */
  constructor(engine, info, moments, curve) {
    Object.assign(this, { engine, info, moments, known: new Map() });
    this.curve = new Curve(find("curve"), moments, curve);
    this.update = latest(() => this.look());
    const slider = find("moment");
    slider.max = moments.length - 1;
    slider.value = moments.length - 1;
    slider.addEventListener("input", () => this.update());
    find("learned-prompt").addEventListener("input", () => this.update());
    if (!info.num_blocks) return;
    this.matrix = new Matrix(find("learned-map"));
    const selects = [find("learned-block"), find("learned-head")];
    makeChoices(selects, [info.num_blocks, info.num_heads], () => this.update());
    for (const select of selects) select.value = 0; // one head shows more than an average
  }

  set(text) {
    find("learned-prompt").value = text;
    return this.update();
  }

  async look() {
    const number = Number(find("moment").value);
    const { step, loss } = this.moments[number];
    const name = `Step ${step}: training loss ${loss.toFixed(3)} nats per ${this.info.word}`;
    find("moment-name").textContent = name;
    find("moment").setAttribute("aria-valuetext", name);
    this.curve.mark(number);
    const read = await this.engine.call("encode", find("learned-prompt").value);
    find("learned-remarks").replaceChildren(...remarks(read, this.info.block_size, this.info.word));
    document.querySelectorAll(".of-prompt").forEach((part) => (part.hidden = !read.ids.length));
    if (!read.ids.length) return;
    const { seen, text } = await this.at(number, read.ids);
    find("learned-begin").textContent = running(read.pieces);
    find("learned-text").textContent = text;
    find("learned-loss").textContent = this.surpriseOf(seen, step);
    this.drawHead(seen);
  }

  surpriseOf({ mean }, step) {
    if (mean === null) return ""; // one unit: nothing was predicted
    return `Surprise of the prompt at step ${step}: ${mean.toFixed(2)} bits per ${this.info.word}.`;
  }

  /** What a snapshot makes of the prompt; kept until another is read: the slider moves freely. */
  async at(number, ids) {
    const prompt = ids.join();
    if (this.prompt !== prompt) this.known.clear();
    this.prompt = prompt;
    if (!this.known.has(number)) {
      const seen = await this.engine.call("explain", ids, { snapshot: number });
      const text = await continuation(this.engine, { ids, snapshot: number });
      this.known.set(number, { seen, text });
    }
    return this.known.get(number);
  }

  drawHead(seen) {
    if (!this.matrix) return;
    const [block, head] = ["learned-block", "learned-head"].map((id) => Number(find(id).value));
    const { pieces } = seen;
    const weights = averagedHeads(seen, this.info, pieces.length, block, head);
    this.matrix.draw({ weights, rows: pieces, columns: pieces, causal: true, row: null });
    find("learned-title").textContent = `${capital(headName(block, head))}, on the prompt`;
  }
}
