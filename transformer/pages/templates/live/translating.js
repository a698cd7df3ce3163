// The part of an encoder-decoder: a source, its target by beam search, and the cross-attention.

class Translating {
  constructor(engine, info) {
    Object.assign(this, { engine, info });
    this.reader = new Reader({ numBlocks: info.num_blocks, numHeads: info.num_heads });
    this.update = latest(() => this.translate());
    find("source-text").addEventListener("input", () => this.update());
    find("num-beams").addEventListener("input", () => this.update());
  }

  set(text) {
    find("source-text").value = text;
    return this.update();
  }

  async translate() {
    const numBeams = Number(find("num-beams").value);
    find("beams-shown").textContent = numBeams === 1 ? "1 (greedy)" : numBeams;
    const text = find("source-text").value;
    let found = null;
    let trouble = null;
    try {
      if (text) found = await this.engine.call("translate", { text, num_beams: numBeams });
    } catch (error) {
      trouble = element("p", {}, `${capital(error.message)}.`);
    }
    const unknown = found?.unknown ?? [];
    const said = unknown.length ? remarks({ ids: [0], pieces: [], unknown }, Infinity, "unit") : [];
    find("source-remarks").replaceChildren(...said, ...(trouble ? [trouble] : []));
    const isEmpty = !found?.units.length;
    find("explained").hidden = isEmpty;
    find("translation").textContent = found?.text ?? "";
    if (!isEmpty) this.draw(found);
  }

  draw(found) {
    const { units, source, surprises, alternatives, entropy, others, score } = found;
    this.reader.explain({
      ...{ units, columns: source, causal: false, word: "unit", surprises, entropy },
      alternatives: named(alternatives),
      weightsOf: (block, head) =>
        averagedHeads({ ...found, pieces: source }, this.info, units.length, block, head),
    });
    const rows = [{ text: found.text, score }, ...others].map(({ text, score: of }) =>
      element("li", {}, element("bdi", {}, text), ` ${of.toFixed(3)}`),
    );
    find("beams").replaceChildren(...rows);
    find("beams-part").hidden = !others.length;
  }
}
