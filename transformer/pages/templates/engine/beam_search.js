// Finds likely targets of one source: the laws of transformer/decoding/beam_search.py.

const [PADDING, BEGIN, END] = [0, 1, 2]; // the first ids of a vocabulary of pairs
const NEVER = [PADDING, BEGIN]; // decoding does not choose them
const LENGTH_PENALTY = 0.6; // arXiv:1706.03762, 6.1

/** The count likeliest tokens after a hypothesis, as {id, total, parent}. */
function continuations(parent, count) {
  const logits = requireFinite(parent.logits);
  const expected = logSoftmax(logits);
  const allowed = Float64Array.from(logits);
  for (const id of NEVER) allowed[id] = -Infinity;
  const found = largest(allowed, count).filter((id) => allowed[id] > -Infinity);
  return found.map((id) => ({ id, parent, total: parent.total + expected[id] }));
}

/** Reads the token of a continuation; each hypothesis has keys and values of its own. */
function extended(model, memory, { id, parent, total }, score) {
  const blocks = parent.state.blocks.map((kept) => kept.copy());
  const state = { tokens: [...parent.state.tokens], blocks };
  const logits = model.decode([id], state, memory);
  return { tokens: [...parent.tokens, id], total, score, state, logits, finished: false };
}

/**
 * Up to `numBeams` hypotheses {tokens, total, score, finished}, the best first; tokens without the
 * end. Score: log-probability / ((5 + length) / 6)^penalty (arXiv:1609.08144, eq. 14 without
 * coverage), the end counted. An end finishes a hypothesis if it is among the numBeams likeliest of
 * all continuations; the numBeams likeliest others go on. The search ends when no live hypothesis
 * can still become one of the best; with one beam (greedy), at its first end.
 */
function beamSearch(model, memory, { numBeams = 1, penalty = LENGTH_PENALTY, most }) {
  const divisor = (length) => ((5 + length) / 6) ** penalty;
  const state = model.newState();
  const logits = model.decode([BEGIN], state, memory);
  let live = [{ tokens: [], total: 0, score: 0, state, logits, finished: false }];
  let finished = [];
  for (let length = 1; live.length; length++) {
    const all = live.flatMap((one) => continuations(one, numBeams + 1));
    all.sort((a, b) => b.total - a.total); // stable: of equal ones, the better beam's
    const ended = all.slice(0, numBeams).filter(({ id }) => id === END);
    finished.push(...ended.map(({ parent, total }) => ({
      tokens: parent.tokens, total, score: total / divisor(length), finished: true,
    })));
    finished = finished.sort((a, b) => b.score - a.score).slice(0, numBeams);
    const others = all.filter(({ id }) => id !== END).slice(0, numBeams);
    const isLast = length === most;
    const best = others.length ? others[0].total / divisor(most) : -Infinity;
    const worst = finished.length === numBeams ? finished[numBeams - 1].score : -Infinity;
    const done = numBeams === 1 ? finished.length > 0 : best <= worst;
    if (isLast || done) return results(finished, others, divisor(length), numBeams);
    live = others.map((one) => extended(model, memory, one, one.total / divisor(length)));
  }
  return finished;
}

/** Hypotheses without an end come after all finished ones: their scores lack its probability. */
function results(finished, others, divisor, count) {
  const live = others.map(({ id, parent, total }) => ({
    tokens: [...parent.tokens, id], total, score: total / divisor, finished: false,
  }));
  return [...finished, ...live].slice(0, count);
}
