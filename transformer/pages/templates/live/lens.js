// The logit lens: what the model would say at each depth, if it stopped there.

class Lens {
  constructor(table, choose) {
    this.table = table;
    table.addEventListener("click", (event) => {
      const cell = event.target.closest("td");
      if (cell) choose(cell.cellIndex - 1);
    });
  }

  /** The last depth, which is what the model says, stands on top. */
  draw({ lens, pieces }) {
    const rows = lens.map((places, depth) => this.row(places, pieces, depth, lens.length - 1));
    const names = pieces.map((piece) => element("th", { scope: "col" }, element("bdi", {}, drawn(piece))));
    const head = element("tr", {}, element("th", { scope: "row" }, "after"), ...names);
    this.table.replaceChildren(element("thead", {}, head), element("tbody", {}, ...rows.reverse()));
  }

  row(places, pieces, depth, last) {
    const cells = places.map(({ piece, p, actual }, t) => {
      const cell = element("td", {}, element("bdi", {}, drawn(piece)));
      cell.style.setProperty("--share", p);
      cell.classList.toggle("actual", t + 1 < pieces.length && piece === pieces[t + 1]);
      const comes = actual === null ? "" : `; what comes: ${percent(actual)}`;
      cell.title = `“${drawn(piece)}” ${percent(p)}${comes}`;
      return cell;
    });
    const name = depth ? `block ${depth}` : "embedding";
    const shown = depth === last ? `${name}: output` : name;
    return element("tr", {}, element("th", { scope: "row" }, shown), ...cells);
  }
}
