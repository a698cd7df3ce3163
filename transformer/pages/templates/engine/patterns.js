// Names for heads that read in a known pattern, by measured scores.

/**
 * Each score is the mean, over the places t that can show the pattern, of the weights w[t, s] of
 * the places s that it names; t begins at 2, since at 1 the previous token is the first one. A head
 * has the name of its largest score that is at least LEAST_SCORE and at least TIMES_EVEN times the
 * score of a head that reads all places up to t evenly: a frequent token occurs often before.
 */
const LEAST_SCORE = 0.4;
const TIMES_EVEN = 2;
const PATTERNS = {
  previous: {
    name: "previous token",
    formula: "mean over t ≥ 2 of w[t, t-1]",
    source: "Clark et al. 2019 (arXiv:1906.04341), 3.1",
    places: (t) => (t > 1 ? [t - 1] : []),
  },
  induction: {
    name: "induction",
    formula: "mean over t of the sum of w[t, s+1] over all s < t-1 with token[s] = token[t]",
    source: "Olsson et al. 2022 (arXiv:2209.11895)",
    places: (t, ids) => afterEarlier(t, ids),
  },
  first: {
    name: "first token",
    formula: "mean over t ≥ 2 of w[t, 0]",
    source: "Xiao et al. 2023 (arXiv:2309.17453)",
    places: (t) => (t > 1 ? [0] : []),
  },
};

/** The places after earlier occurrences of the token at t, t itself not among them. */
function afterEarlier(t, ids) {
  const found = [];
  for (let s = 0; s < t - 1; s++) if (ids[s] === ids[t]) found.push(s + 1);
  return found;
}

/** {score, even} of one pattern, both null where no place of the text can show it. */
function scoreOf(map, ids, pattern) {
  let [sum, even, count] = [0, 0, 0];
  map.forEach((row, t) => {
    const places = pattern.places(t, ids);
    if (!places.length) return;
    count++;
    even += places.length / (t + 1);
    for (const s of places) sum += row[s];
  });
  return count ? { score: sum / count, even: even / count } : { score: null, even: null };
}

/** {name or null, scores: {previous, induction, first}, even: the same of even reading}. */
function patternOf(map, ids) {
  const [scores, even] = [{}, {}];
  let name = null;
  for (const [key, pattern] of Object.entries(PATTERNS)) {
    const found = scoreOf(map, ids, pattern);
    [scores[key], even[key]] = [found.score, found.even];
    const least = Math.max(LEAST_SCORE, TIMES_EVEN * found.even);
    const shows = found.score !== null && found.score >= least;
    if (shows && (name === null || found.score > scores[name])) name = key;
  }
  return { name, scores, even };
}
