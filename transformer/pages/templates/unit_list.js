// A text as a listbox of units: pointing, clicking and keys.

class UnitList {
  /**
   * `root` has the role listbox. `show(t)` is called for the unit that the pointer or the focus
   * is at (-1: none); `choose(t)` for a click or Enter; `leave()` for Escape.
   */
  constructor(root, { show, choose, leave }) {
    Object.assign(this, { root, show, choose, leave, options: [] });
    const place = (event) => this.options.indexOf(event.target.closest(".unit"));
    const at = (event, call) => place(event) >= 0 && call(place(event));
    root.addEventListener("pointerover", (event) => at(event, show));
    root.addEventListener("pointerleave", () => show(-1));
    root.addEventListener("focusin", (event) => at(event, show));
    root.addEventListener("click", (event) => at(event, choose));
    root.addEventListener("keydown", (event) => this.press(event, place(event)));
  }

  press(event, t) {
    if (t < 0 || event.ctrlKey || event.altKey || event.metaKey) return;
    const last = this.options.length - 1;
    const next = { ArrowLeft: t - 1, ArrowRight: t + 1, Home: 0, End: last }[event.key];
    if (event.key === "Enter" || event.key === " ") this.choose(t);
    else if (event.key === "Escape") this.leave();
    else if (event.key === "ArrowUp") this.focus(this.onOtherLine(t, -1));
    else if (event.key === "ArrowDown") this.focus(this.onOtherLine(t, 1));
    else if (next !== undefined) this.focus(Math.min(Math.max(next, 0), last));
    else return;
    event.preventDefault();
  }

  /** The unit nearest to this one on the next line above (-1) or below (1). */
  onOtherLine(t, direction) {
    const here = this.options[t].getBoundingClientRect();
    let line = null;
    let best = t;
    let least = Infinity;
    for (let i = t + direction; i >= 0 && i < this.options.length; i += direction) {
      const there = this.options[i].getBoundingClientRect();
      if (Math.abs(there.top - here.top) < here.height / 2) continue;
      if (line !== null && Math.abs(there.top - line) > here.height / 2) break;
      line = there.top;
      if (Math.abs(there.left - here.left) < least) {
        least = Math.abs(there.left - here.left);
        best = i;
      }
    }
    return best;
  }

  /** Only one unit is in the order of the Tab key. */
  makeTabStop(t) {
    if (this.stop) this.stop.tabIndex = -1;
    this.stop = this.options[t];
    if (this.stop) this.stop.tabIndex = 0;
  }

  focus(t) {
    this.makeTabStop(t);
    this.options[t]?.focus();
  }

  /** The unit that has the focus, or -1. */
  get focused() {
    return this.options.indexOf(document.activeElement);
  }

  /** A line may break at a real space, and before any unit longer than a character if `broken`. */
  add(unit, bits, { broken = false, apart = false } = {}) {
    const option = makeUnit(unit, apart);
    option.id = `${this.root.id === "text" ? "" : `${this.root.id}-`}unit-${this.options.length}`;
    option.tabIndex = -1;
    option.setAttribute("role", "option");
    option.setAttribute("aria-selected", "false");
    this.options.push(option);
    this.name(this.options.length - 1, unit, bits);
    this.root.append(option);
    if (!apart && unit.endsWith("\n")) this.root.append(element("br"));
    else if (broken) this.root.append(element("wbr"));
    if (this.options.length === 1) this.makeTabStop(0);
    return option;
  }

  name(t, unit, bits) {
    const surprise = bits === null ? "not predicted" : `surprise ${bits.toFixed(1)} bits`;
    this.options[t].setAttribute("aria-label", `${NAMES[unit] ?? drawn(unit)}, ${surprise}`);
    this.options[t].classList.toggle("first", bits === null);
  }

  /** Removes the units from number `count` on. */
  cut(count) {
    const option = this.options[count];
    if (!option) return;
    while (option.nextSibling) option.nextSibling.remove();
    option.remove();
    this.options.length = count;
    if (!this.options.includes(this.stop)) this.makeTabStop(0);
  }

  select(chosen) {
    this.options.forEach((option, t) => option.setAttribute("aria-selected", String(t === chosen)));
    if (chosen !== null) this.makeTabStop(chosen);
  }

  paint(shares) {
    this.options.forEach((option, t) => option.style.setProperty("--share", shares[t]));
  }
}

const surpriseShare = (bits) => Math.min((bits ?? 0) / MOST_BITS, 1);

/** Units of a text join, also from right to left; those that stand `apart` are isolated. */
function makeUnit(unit, apart) {
  const text = !apart && unit === " " ? unit : drawn(unit);
  return element(apart ? "bdi" : "span", { className: "unit", textContent: text });
}
