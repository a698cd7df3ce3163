// The settings of sampling: sliders with number fields, and the distribution that they change.

const NUM_BARS = 12;
// `off` is where a setting does nothing; the engine, like Python, then gets null.
const SETTINGS = [
  { name: "temperature", label: "Temperature", min: 0, max: 2, step: 0.05, value: 0.8,
    lesson: "Divides the logits. Below 1 the likely get likelier; 0 always takes the likeliest." },
  { name: "top_k", label: "Top-k", min: 0, max: 100, step: 1, value: 0, off: 0,
    lesson: "Keeps the k likeliest. 0: all." },
  { name: "top_p", label: "Top-p", min: 0.01, max: 1, step: 0.01, value: 1, off: 1,
    lesson: "Keeps the fewest of the likeliest that add up to p (Holtzman et al. 2020, arXiv:1904.09751). 1: all." },
  { name: "min_p", label: "Min-p", min: 0, max: 1, step: 0.01, value: 0, off: 0,
    lesson: "Keeps those that have at least this share of the likeliest's probability (Nguyen et al. 2024, arXiv:2407.01082). 0: all." },
  { name: "repetition_penalty", label: "Repetition penalty", min: 1, max: 2, step: 0.05, value: 1,
    lesson: "Makes units that are already in the text less likely (Keskar et al. 2019, arXiv:1909.05858, 4.1). 1: no change." },
  { name: "seed", label: "Seed", min: 0, max: 999, step: 1, value: 0, most: 2 ** 32 - 1,
    lesson: "Starts the random numbers: the same seed and settings write the same text." },
];

class SamplingSettings {
  constructor(box, vocabSize, changed) {
    this.changed = changed;
    this.values = {};
    for (const setting of SETTINGS) {
      const bound = setting.name === "top_k" ? { max: Math.min(setting.max, vocabSize) } : {};
      box.append(this.row({ ...setting, ...bound }));
    }
  }

  row({ name, label, min, max, step, value, lesson, most = max }) {
    this.values[name] = value;
    const described = { min, step, value };
    const slider = element("input", { type: "range", id: name, max, ...described });
    const number = element("input", { type: "number", max: most, ...described });
    number.setAttribute("aria-label", `${label}, as a number`);
    slider.setAttribute("aria-describedby", `${name}-lesson`);
    const take = (raw) => {
      const known = raw !== "" && Number.isFinite(Number(raw)) ? Number(raw) : this.values[name];
      this.values[name] = Math.min(Math.max(step === 1 ? Math.round(known) : known, min), most);
      slider.value = this.values[name];
      this.changed();
    };
    slider.addEventListener("input", () => {
      take(slider.value);
      number.value = slider.value;
    });
    number.addEventListener("input", () => number.value !== "" && take(number.value));
    number.addEventListener("change", () => {
      take(number.value);
      number.value = this.values[name];
    });
    const help = element("p", { className: "lesson", id: `${name}-lesson` }, lesson);
    return element("div", { className: "setting" }, element("label", { htmlFor: name }, label), slider, number, help);
  }

  /** As the engine takes them. */
  get sampling() {
    const value = ({ name, off }) => (this.values[name] === off ? null : this.values[name]);
    return Object.fromEntries(SETTINGS.map((setting) => [setting.name, value(setting)]));
  }
}

/** Two bars for each of the likeliest: before and after the settings. */
function drawDistribution(list, { before, after }) {
  const rows = before.map(([, piece, p], i) => {
    const changed = after[i][2];
    const name = element("span", {}, element("bdi", {}, drawn(piece)));
    const both = element("span", { className: "both" }, length(p), length(changed));
    const says = `${percent(p)} → ${changed ? percent(changed) : "never"}`;
    return element("li", {}, name, both, element("span", {}, says));
  });
  list.replaceChildren(...rows);
}
