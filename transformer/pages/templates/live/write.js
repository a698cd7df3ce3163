// The part that writes: a prompt, and the text that goes on from it, unit by unit.

const MOST_WRITTEN = 10000; // units at once
const MOST_A_FRAME = 16; // units, so that the page can still be used: 960 a second

class Writing {
  constructor(engine, info) {
    Object.assign(this, { engine, info, chosen: null, shown: null, running: null, arrived: [] });
    this.edited = Promise.resolve();
    this.numBegun = 0;
    this.text = { ids: [], units: [], surprises: [], alternatives: [], numPrompt: 0 };
    this.list = new UnitList(find("written"), {
      show: (t) => this.show(t < 0 ? this.chosen : t),
      choose: (t) => this.choose(t === this.chosen ? null : t),
      leave: () => this.choose(null),
    });
    this.settings = new SamplingSettings(find("settings"), info.vocab_size, () => this.drawNext());
    this.drawNext = latest(() => this.askDistribution());
    find("prompt").addEventListener("input", () => this.begin());
    find("write-on").addEventListener("click", () => (this.running ? this.stop() : this.write()));
    find("take-back").addEventListener("click", () => this.edit(() => this.cut(this.text.ids.length - 1)));
    find("begin-again").addEventListener("click", () => this.begin());
  }

  /** The text becomes the prompt alone; of several prompts that wait, the last one is read. */
  begin() {
    const number = ++this.numBegun;
    return this.edit(() => number === this.numBegun && this.readPrompt());
  }

  async readPrompt() {
    const read = await this.engine.call("encode", find("prompt").value);
    const { ids, pieces } = read;
    const { block_size: blockSize, word } = this.info;
    find("prompt-remarks").replaceChildren(...remarks(read, blockSize, word));
    find("write-on").disabled = !ids.length;
    const seen = ids.length ? await this.engine.call("explain", ids, {}) : { first: 0, surprises: [], alternatives: [] };
    const before = Array(seen.first).fill(null); // what the window leaves out
    const surprises = [...before, ...seen.surprises];
    const alternatives = [...before.map(() => []), ...seen.alternatives];
    this.text = { ids, units: pieces, surprises, alternatives, numPrompt: ids.length };
    this.chosen = this.shown = null;
    this.list.cut(0);
    ids.forEach((_, t) => this.addOption(t));
  }

  addOption(t) {
    const { units, surprises, numPrompt } = this.text;
    const option = this.list.add(units[t], surprises[t], { broken: this.info.word !== "character" });
    option.style.setProperty("--share", surpriseShare(surprises[t]));
    option.classList.toggle("written", t >= numPrompt);
  }

  /** Marks where the model's window begins now. */
  markWindow() {
    const first = this.text.ids.length - this.info.block_size;
    this.marked?.classList.remove("window");
    this.marked = first > 0 ? this.list.options[first] : null;
    this.marked?.classList.add("window");
    find("window-note").hidden = !this.marked;
  }

  // --- writing ---

  write() {
    return this.edit(() => {
      if (this.text.ids.length) this.running = this.start();
    });
  }

  start() {
    const count = Math.min(Math.max(Math.round(Number(find("count").value)), 1), MOST_WRITTEN);
    this.say("Writing …", "Stop");
    const { sampling } = this.settings;
    const wish = { ids: this.text.ids.slice(), count, sampling };
    const running = { isStopped: false };
    const { started, done } = this.engine.write((unit) => running.isStopped || this.arrive(unit), wish);
    return Object.assign(running, { started, ended: this.finish(running, done) });
  }

  /** Waits until all is written and shown, and says how much it was. */
  async finish(running, done) {
    const before = this.text.ids.length;
    let says;
    try {
      const { stopped } = await done;
      await this.drawing;
      const verb = stopped || running.isStopped ? "Stopped after" : "Wrote";
      says = `${verb} ${plural(this.text.ids.length - before, this.info.word)}.`;
    } catch (error) {
      says = `${capital(error.message)}.`;
    }
    this.running = null;
    this.say(says, "Write on");
    this.changed();
  }

  say(says, button) {
    find("write-status").textContent = says;
    find("write-on").textContent = button;
  }

  /** What the engine has written ahead of the page is left out. */
  async stop() {
    if (!this.running) return;
    const { started, ended } = this.running;
    this.running.isStopped = true;
    this.arrived.length = 0;
    await started; // a stop before would end another text
    await Promise.all([this.engine.call("stop"), ended]);
  }

  /** Stops the writing, changes the text, and shows it: one change after another. */
  edit(change) {
    const done = this.edited.then(async () => {
      await this.stop();
      await change();
      this.changed();
    });
    this.edited = done.catch(() => {});
    return done;
  }

  /** Units wait for the next frame: a small model writes faster than a page is drawn. */
  arrive(unit) {
    this.arrived.push(unit);
    this.drawing ??= this.showArrived();
  }

  async showArrived() {
    while (this.arrived.length) {
      await new Promise(requestAnimationFrame);
      this.arrived.splice(0, MOST_A_FRAME).forEach((unit) => this.add(unit));
      const box = this.list.root;
      if (this.chosen === null) box.scrollTop = box.scrollHeight;
    }
    this.drawing = null;
  }

  add({ id, piece, surprise, alternatives }) {
    const { ids, units, surprises, alternatives: all } = this.text;
    ids.push(id);
    units.push(piece);
    surprises.push(surprise);
    all.push(alternatives);
    this.addOption(ids.length - 1);
  }

  cut(count) {
    const kept = Math.max(count, 0);
    const { ids, units, surprises, alternatives } = this.text;
    for (const part of [ids, units, surprises, alternatives]) part.length = Math.min(kept, part.length);
    this.text.numPrompt = Math.min(this.text.numPrompt, kept);
    this.list.cut(kept);
    if (this.chosen >= kept) this.chosen = null;
    if (this.shown >= kept) this.shown = null;
  }

  /** Another unit at place t; the model goes on from there. */
  pick(t, [id, piece, p]) {
    return this.edit(() => {
      const alternatives = this.text.alternatives[t];
      if (!alternatives) return; // taken back meanwhile
      this.cut(t);
      this.add({ id, piece, surprise: -Math.log2(p) || 0, alternatives });
      this.choose(null);
      this.list.focus(t);
      this.running = this.start();
    });
  }

  // --- what is shown ---

  changed() {
    const { ids } = this.text;
    find("write-on").disabled = find("take-back").disabled = !ids.length;
    this.markWindow();
    this.show(this.shown ?? this.chosen);
    this.drawNext();
  }

  choose(t) {
    this.chosen = t;
    this.list.select(t);
    this.show(t);
    this.drawNext();
  }

  show(t) {
    this.shown = t;
    const panel = find("choices");
    const { word } = this.info;
    if (t === null) {
      const wish = `to see the five likeliest ${word}s there. Select it to go on with another.`;
      return panel.replaceChildren(invitation(word, wish));
    }
    const { units, surprises, alternatives } = this.text;
    panel.replaceChildren(...placeName({ units, surprises, word }, t));
    if (!alternatives[t].length) return;
    const rows = alternatives[t].map((other) => this.choice(t, other));
    const title = t === this.chosen ? "Go on from here with:" : "Likeliest here:";
    panel.append(bars("alternatives", title, rows));
    if (t === this.chosen) panel.append(this.cutButton(t));
  }

  /** A row of the five likeliest; at the selected place it is a button. */
  choice(t, other) {
    const [, piece, p] = other;
    const actual = piece === this.text.units[t];
    if (t !== this.chosen) return bar(piece, p, { actual });
    const button = element("button", { type: "button", className: "pick" }, ...barParts(piece, p, { actual }));
    button.addEventListener("click", () => this.pick(t, other));
    return element("li", { className: actual ? "actual" : "" }, button);
  }

  cutButton(t) {
    const button = element("button", { type: "button" }, "Take back all after this");
    button.addEventListener("click", async () => {
      await this.edit(() => this.cut(t + 1));
      this.list.focus(t);
    });
    return button;
  }

  /** What may come next; with a selected place, what could have come there. */
  async askDistribution() {
    const ids = this.text.ids.slice(0, this.chosen ?? undefined);
    find("next-title").replaceChildren(...this.nextTitle());
    if (!ids.length) return find("next").replaceChildren();
    const { sampling } = this.settings;
    drawDistribution(find("next"), await this.engine.call("distribution", { ids, sampling, count: NUM_BARS }));
  }

  nextTitle() {
    const { units } = this.text;
    const end = units.slice(0, this.chosen ?? undefined).slice(-12).map(drawn).join("");
    return [`The next ${this.info.word} after `, element("bdi", {}, `“${end}”`)];
  }
}
