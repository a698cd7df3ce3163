// What a model sees in a text: surprise, alternatives and attention, with everything one can choose.

const MOST_CHANGE = 2; // bits, of the color scale of changes

class Reader {
  /**
   * Fills the elements of reading.html and attention.html. `cells` are what HeadTable puts beside its
   * buttons. `headChosen` is called when another head is chosen.
   */
  constructor({ numBlocks, numHeads, cells = {}, headChosen = () => {} }) {
    this.headChosen = headChosen;
    this.chosen = { block: -1, head: -1, row: null };
    this.shown = null; // the unit that the panel is about
    this.hasAttention = numBlocks > 0;
    this.list = new UnitList(find("text"), {
      show: (t) => this.show(t < 0 ? this.resting : t),
      choose: (t) => this.choose(t, true),
      leave: () => this.choose(null),
    });
    this.sources = [];
    if (!this.hasAttention) return;
    const choose = (block, head) => this.chooseHead(block, head);
    this.matrix = new Matrix(find("map"), (t) => this.choose(t));
    this.table = new HeadTable(find("entropy"), choose, cells);
    this.table.make(numBlocks, numHeads);
    makeChoices([find("block"), find("head")], [numBlocks, numHeads], choose);
  }

  /**
   * Shows another explanation; what is chosen stays if it can. An explanation has units, surprises,
   * alternatives, word, causal, columns (what is read), entropy and `weightsOf(block, head)`, a
   * (T, S) average where one of them is -1. It may have `changes` of the surprises in bits, to color
   * by; `numBytes` of the units; and `first`, the number of units before the model's window.
   */
  explain(explanation, { numWritten = 0 } = {}) {
    const { units, surprises, columns, causal, word, entropy } = explanation;
    this.explanation = explanation;
    this.list.cut(0);
    units.forEach((unit, t) => {
      const settings = { broken: word !== "character", apart: !causal };
      const option = this.list.add(unit, surprises[t], settings);
      option.classList.toggle("written", t >= units.length - numWritten);
    });
    if (!causal) this.fillSource(columns);
    if (this.chosen.row >= units.length) this.chosen.row = null;
    if (this.shown >= units.length) this.shown = null;
    if (this.hasAttention) this.table.fill(entropy, Math.log2(columns.length));
    this.chooseHead(this.chosen.block, this.chosen.head);
  }

  fillSource(columns) {
    this.sources = columns.map((unit) => makeUnit(unit, true));
    find("source").replaceChildren(...this.sources);
    for (const text of [this.list.root, find("source")]) text.classList.add("apart");
  }

  get resting() {
    return this.chosen.row ?? this.list.focused;
  }

  /** Selects a row; with `toggle`, a selected row is deselected. */
  choose(t, toggle = false) {
    this.chosen.row = toggle && t === this.chosen.row ? null : t;
    this.paint();
  }

  chooseHead(block, head) {
    Object.assign(this.chosen, { block, head });
    if (this.hasAttention) {
      find("block").value = block;
      find("head").value = head;
      this.table.press(block, head);
      this.weights = this.explanation.weightsOf(block, head);
    }
    this.headChosen();
    this.paint();
  }

  /** What row t reads from each column. */
  readBy(row) {
    const count = this.explanation.columns.length;
    return [...this.weights.subarray(row * count, (row + 1) * count)];
  }

  /** Colors units by surprise, by its change, or by how much the selected row reads from them. */
  paint() {
    const { row } = this.chosen;
    const { units, surprises, causal, changes } = this.explanation;
    const reads = row !== null && this.hasAttention;
    const read = reads ? this.readBy(row) : [];
    const most = Math.max(...read, 1e-9);
    const shares = read.map((share) => share / most);
    const isChange = !reads && Boolean(changes);
    const changeShare = (bits) => Math.min(Math.abs(bits) / MOST_CHANGE, 1);
    const own = isChange ? changes.map(changeShare) : surprises.map(surpriseShare);
    find("reading").classList.toggle("selecting", reads);
    find("reading").classList.toggle("changing", isChange);
    this.list.paint(reads ? (causal ? shares : units.map(() => 0)) : own);
    this.list.options.forEach((option, t) => option.classList.toggle("less", isChange && changes[t] < 0));
    this.list.select(row);
    this.sources.forEach((unit, s) => unit.style.setProperty("--share", reads ? shares[s] : 0));
    this.showLegend(reads, isChange, percent(most));
    this.show(this.shown ?? this.resting);
    this.drawMatrix();
  }

  showLegend(reads, isChange, most) {
    const { block, head, row } = this.chosen;
    const change = `${MOST_CHANGE} bits or more`;
    const [title, low, high] = reads
      ? [["What ", quoted(this.explanation.units[row]), ` reads, ${headName(block, head)}:`], "0 %", most]
      : isChange
        ? [["Change of surprise:"], `−${change}`, `+${change}`]
        : [["Surprise:"], "0", `${MOST_BITS} bits or more`];
    find("legend-title").replaceChildren(...title);
    find("legend-low").textContent = low;
    find("legend-high").textContent = high;
  }

  drawMatrix() {
    if (!this.hasAttention) return;
    const { units, columns, causal, word } = this.explanation;
    const { block, head, row } = this.chosen;
    this.matrix.draw({ weights: this.weights, rows: units, columns, causal, row });
    const axes = causal
      ? `each row is a ${word} that reads, each column a ${word} that is read`
      : "each row is a unit of the target, each column a unit of the source";
    find("matrix-title").textContent = capital(`${headName(block, head)}: ${axes}`);
  }

  // --- the panel beside the text ---

  show(t) {
    this.shown = t >= 0 ? t : null;
    const panel = find("panel");
    if (this.shown === null) return panel.replaceChildren(invitation(this.explanation.word));
    panel.replaceChildren(...placeFacts(this.explanation, t));
    const { row } = this.chosen;
    if (row !== null && this.hasAttention) panel.append(this.readings(row));
  }

  readings(row) {
    const { units, columns } = this.explanation;
    const read = [...this.readBy(row).entries()].sort((one, other) => other[1] - one[1]);
    const rows = read.slice(0, 5).map(([s, share]) => bar(columns[s], share, { note: ` ${s + 1}` }));
    return bars("reads", element("span", {}, quoted(units[row]), " reads most:"), rows);
  }
}

function invitation(word, wish = `to see the five most likely ${word}s in its place.`) {
  const ways = { "by-mouse": "Point at", "by-touch": "Touch" };
  const words = Object.entries(ways).map(([className, textContent]) =>
    element("span", { className, textContent }),
  );
  return element("p", {}, ...words, ` a ${word} ${wish}`);
}

/** Where the unit is, and how surprising it is. */
function placeName({ units, surprises, word, numBytes, first = 0 }, t) {
  const name = element("span", { className: "name" }, quoted(units[t]));
  const place = element("p", {}, name, ` ${word} ${first + t + 1} of ${first + units.length}`);
  const bits = surprises[t];
  if (bits === null) {
    const why = first + t ? "The model's window does not begin before it" : "This is the first: nothing is before it";
    return [place, element("p", {}, `${why}, so it was not predicted.`)];
  }
  const size = numBytes?.[t]; // 0 for a token that ends a text
  const perByte = size ? `, ${(bits / size).toFixed(2)} per byte` : "";
  const says = `Surprise ${bits.toFixed(2)} bits${perByte}: p = ${percent(2 ** -bits)}`;
  return [place, element("p", {}, says)];
}

function placeFacts(explanation, t) {
  const parts = placeName(explanation, t);
  if (explanation.surprises[t] === null) return parts;
  const { units, alternatives } = explanation;
  const rows = alternatives[t].map(([unit, p]) => bar(unit, p, { actual: unit === units[t] }));
  return [...parts, bars("alternatives", "Most likely here:", rows)];
}
