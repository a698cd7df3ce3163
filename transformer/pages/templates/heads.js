// A table of buttons, one for each head; the color is its entropy divided by the maximum, log2 S.

class HeadTable {
  /** `choose(block, head)` is called for a cell; `extra(block, head)` gives nodes below its button. */
  constructor(table, choose, { extra = () => [], rowName = (block) => [`block ${block + 1}`] } = {}) {
    Object.assign(this, { table, choose, extra, rowName, buttons: [] });
  }

  make(numBlocks, numHeads) {
    const heads = indices(-1, numHeads).map((h) => element("th", { scope: "col" }, `${h + 1}`));
    const rows = indices(-1, numBlocks).map((block) => {
      const cells = heads.map((_, h) => element("td", {}, this.button(block, h), ...this.extra(block, h)));
      return element("tr", {}, element("th", { scope: "row" }, ...this.rowName(block)), ...cells);
    });
    const top = element("thead", {}, element("tr", {}, element("th", {}, "head"), ...heads));
    this.table.replaceChildren(top, element("tbody", {}, ...rows));
  }

  button(block, h) {
    const button = element("button", { type: "button" });
    button.addEventListener("click", () => {
      const again = button.getAttribute("aria-pressed") === "true";
      this.choose(again ? -1 : block, again ? -1 : h);
    });
    this.buttons.push({ button, block, h });
    return button;
  }

  /** `entropy[block][head]` in bits; `most` is log2 of the number of columns. */
  fill(entropy, most) {
    for (const { button, block, h } of this.buttons) {
      const bits = entropy[block][h].toFixed(2);
      button.textContent = bits;
      button.style.setProperty("--share", Math.min(entropy[block][h] / (most || 1), 1));
      button.setAttribute("aria-label", `block ${block + 1}, head ${h + 1}: ${bits} bits`);
    }
  }

  press(block, head) {
    for (const cell of this.buttons) {
      cell.button.setAttribute("aria-pressed", String(cell.block === block && cell.h === head));
    }
  }
}

function headName(block, head) {
  if (block < 0 && head < 0) return "the average of all blocks and heads";
  if (block < 0) return `head ${head + 1}, the average of all blocks`;
  if (head < 0) return `block ${block + 1}, the average of its heads`;
  return `block ${block + 1}, head ${head + 1}`;
}

/** The choices of a block and a head; -1 is the average. */
function makeChoices(selects, counts, choose) {
  selects.forEach((select, i) => {
    const numbers = indices(-1, counts[i]).map((n) => element("option", { value: n }, `${n + 1}`));
    select.replaceChildren(element("option", { value: "-1" }, "average"), ...numbers);
    select.addEventListener("change", () => choose(...selects.map((one) => Number(one.value))));
  });
}
