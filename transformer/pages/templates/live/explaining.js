// The part that explains: whatever text is typed, with any heads and blocks switched off.

const NUM_OPENING = 100; // units that the model adds to a short text at first
const NUM_CONTINUED = 60; // units that the model goes on with, to see what switches change

class Explaining {
  constructor(engine, info) {
    Object.assign(this, { engine, info, ids: [], whole: null });
    this.off = { heads: new Set(), blocks: new Set() };
    const cells = { extra: (b, h) => this.headSwitch(b, h), rowName: (b) => this.blockSwitch(b) };
    this.names = new Map();
    const headChosen = () => this.showScores();
    this.reader = new Reader({ numBlocks: info.num_blocks, numHeads: info.num_heads, cells, headChosen });
    this.lens = info.num_blocks ? new Lens(find("lens"), (t) => this.reader.choose(t)) : null;
    this.takeText = latest(() => this.read());
    this.update = latest(() => this.explain());
    this.goOn = latest(() => this.compareTexts());
    if (this.lens) {
      find("text").after(find("switching"));
      this.tellPatterns();
    }
    find("typed").addEventListener("input", () => {
      find("opening").hidden = true;
      this.takeText();
    });
    find("all-on")?.addEventListener("click", () => this.switchAllOn());
    find("color-by")?.addEventListener("change", () => this.draw());
  }

  set(text) {
    find("typed").value = text;
    find("opening").hidden = true;
    return this.takeText();
  }

  /** Explains a short text with what the model writes on: a few units show nothing of its heads. */
  async open(text, sampling) {
    const { ids } = await this.engine.call("encode", text);
    const count = Math.min(NUM_OPENING, this.info.block_size - ids.length); // within the window
    if (!ids.length || count < 1) return this.set(text);
    await this.engine.write(({ id }) => ids.push(id), { ids: ids.slice(), count, sampling }).done;
    const written = await this.engine.call("decode", ids);
    if (find("typed").value) return; // by the reader, meanwhile
    await this.set(written);
    find("opening-count").textContent = plural(count, this.info.word);
    find("opening").hidden = false;
  }

  async read() {
    const read = await this.engine.call("encode", find("typed").value);
    const { block_size: blockSize, word } = this.info;
    find("typed-remarks").replaceChildren(...remarks(read, blockSize, word));
    this.ids = read.ids;
    await this.explain();
    this.goOn();
  }

  /** As the engine takes it; null if everything is on. */
  get switches() {
    const { heads, blocks } = this.off;
    if (!heads.size && !blocks.size) return null;
    return { heads: [...heads].map((key) => key.split(",").map(Number)), blocks: [...blocks] };
  }

  async explain() {
    if (!this.ids.length) {
      find("explained").hidden = true;
      return;
    }
    const off = this.switches;
    this.whole = await this.engine.call("explain", this.ids, {});
    this.now = off ? await this.engine.call("explain", this.ids, { off }) : this.whole;
    find("explained").hidden = false; // before drawing, which asks for its width
    this.draw();
  }

  draw() {
    const { whole, now, info } = this;
    if (!now) return;
    this.reader.explain({
      ...{ units: now.pieces, columns: now.pieces, causal: true, word: info.word, first: now.first },
      ...{ surprises: now.surprises, entropy: now.entropy, alternatives: named(now.alternatives) },
      weightsOf: (block, head) => averagedHeads(now, info, now.pieces.length, block, head),
      changes: this.isColoredByChange ? differences(now.surprises, whole.surprises) : null,
    });
    this.showLoss();
    this.nameHeads();
    this.lens?.draw(now);
  }

  get isColoredByChange() {
    return this.switches !== null && find("color-by").value === "change";
  }

  showLoss() {
    const { whole, now } = this;
    const isOff = this.switches !== null;
    if (this.lens) find("switching").hidden = !isOff;
    if (now.mean === null) return find("loss").replaceChildren(); // one unit: nothing was predicted
    const bits = `${now.mean.toFixed(3)} bits per ${this.info.word} (${now.loss.toFixed(3)} nats)`;
    const change = now.mean - whole.mean;
    const more = `: ${signed(change)} bits against ${whole.mean.toFixed(3)} with everything on`;
    const most = Math.min(this.ids.length, this.info.block_size);
    const cut = now.pieces.length < most ? ` Only the last ${plural(now.pieces.length, this.info.word)} can be shown.` : "";
    find("loss").textContent = `Loss: ${bits}${isOff ? more : ""}.${cut}`;
  }

  // --- switches ---

  headSwitch(block, h) {
    const name = element("span", { className: "pattern" });
    this.names.set(`${block},${h}`, name);
    const label = `block ${block + 1}, head ${h + 1} on`;
    return [name, this.makeSwitch(this.off.heads, `${block},${h}`, label)];
  }

  blockSwitch(block) {
    const box = this.makeSwitch(this.off.blocks, block, `block ${block + 1} on`);
    return [element("span", {}, `block ${block + 1} `), box];
  }

  makeSwitch(set, key, label) {
    const box = element("input", { type: "checkbox", checked: true, className: "switch" });
    box.setAttribute("aria-label", label);
    box.addEventListener("change", () => {
      if (box.checked) set.delete(key);
      else set.add(key);
      this.switched();
    });
    return box;
  }

  switchAllOn() {
    this.off.heads.clear();
    this.off.blocks.clear();
    for (const box of find("entropy").querySelectorAll(".switch")) box.checked = true;
    find("typed").focus();
    this.switched();
  }

  async switched() {
    await this.update();
    find("switch-status").textContent = find("loss").textContent;
    await this.goOn();
  }

  /** How the model goes on, always with the likeliest: with everything on, and as switched. */
  async compareTexts() {
    const off = this.switches;
    if (!off || !this.ids.length) return;
    for (const [id, switches] of [["text-on", undefined], ["text-off", off]]) {
      find(id).textContent = await continuation(this.engine, { ids: this.ids, off: switches });
    }
  }

  // --- known patterns ---

  /** How heads get their names, in the words of the engine that measures them. */
  async tellPatterns() {
    const patterns = await this.engine.call("patterns");
    const tell = ({ name, formula, source }) =>
      element("li", {}, element("dfn", {}, name), ": ", element("span", { className: "formula" }, formula), ` (${source})`);
    find("patterns").replaceChildren(...patterns.map(tell));
    find("least-score").textContent = patterns[0].least;
    find("times-even").textContent = patterns[0].times_even;
  }

  nameHeads() {
    this.now.heads.forEach((row, block) =>
      row.forEach(({ name, scores }, h) => {
        const label = this.names.get(`${block},${h}`);
        label.textContent = name ?? "–";
        label.title = listed(scores);
        label.classList.toggle("known", name !== null);
      }),
    );
    this.showScores();
  }

  showScores() {
    const { block, head } = this.reader.chosen;
    const chosen = this.now?.heads[block]?.[head];
    if (!this.lens) return;
    const says = chosen && `${capital(headName(block, head))}: ${listed(chosen.scores)}.`;
    find("scores").textContent = says ?? "";
  }
}

const scored = (score) => (score === null ? "not measured (nothing repeats)" : score.toFixed(2));
const listed = (scores) =>
  Object.entries(scores).map(([pattern, score]) => `${pattern} ${scored(score)}`).join(", ");
const signed = (number) => `${number < 0 ? "−" : "+"}${Math.abs(number).toFixed(3)}`;
const named = (rows) => rows.map((row) => row.map(([, piece, p]) => [piece, p]));
const differences = (now, whole) => now.map((bits, t) => (bits === null ? 0 : bits - whole[t]));

/** Greedy text after ids; `wish` may switch heads off or name a snapshot. */
async function continuation(engine, wish) {
  const pieces = [];
  const add = ({ piece }) => pieces.push(piece);
  await engine.write(add, { count: NUM_CONTINUED, sampling: { temperature: 0 }, ...wish }).done;
  return running(pieces);
}

/** The (T, S) weights of a head, or their average where a number is -1. */
function averagedHeads({ attention, pieces }, info, numRows, block, head) {
  const { num_heads: numHeads, num_blocks: numBlocks } = info;
  const size = numRows * pieces.length;
  const sum = new Float32Array(size);
  const inBlock = (b) => indices(head, numHeads).map((h) => b * numHeads + h);
  const heads = indices(block, numBlocks).flatMap(inBlock);
  for (const number of heads) {
    const begin = number * size;
    for (let i = 0; i < size; i++) sum[i] += attention[begin + i];
  }
  return sum.map((total) => total / heads.length);
}
