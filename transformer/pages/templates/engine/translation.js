// What the page shows of a translation: the target, its surprises and what was read for each unit.

const SPECIAL_NAMES = { [PADDING]: "padding", [BEGIN]: "begin", [END]: "end" };

/** The best hypothesis of a source and the other beams; see `Engine.translate`. */
function translationOf(model, tokenizer, text, { num_beams: numBeams, max_new_tokens }) {
  const { ids, pieces, unknown } = tokenizer.source.encode(text);
  const size = model.settings.block_size;
  if (!ids.length) throw new Error("the source is empty: give a text of at least one unit");
  if (ids.length > size) {
    const limit = `the model reads at most ${size}: give a shorter source`;
    throw new Error(`the source has ${ids.length} units, but ${limit}`);
  }
  const memory = model.encode(ids);
  const most = Math.min(max_new_tokens || size + 1, size + 1);
  const found = beamSearch(model, memory, { numBeams, most });
  const shown = ({ tokens, score, finished }) => ({
    text: tokenizer.target.decode(tokens), score, finished,
  });
  const [best, ...others] = found;
  const piece = (id) => SPECIAL_NAMES[id] || tokenizer.target.pieces[id];
  return {
    source: pieces, unknown, ...shown(best), others: others.map(shown),
    ...readTarget(model, memory, best, ids.length, piece),
  };
}

/** Reads the whole target once more, its end included, for surprises and cross-attention. */
function readTarget(model, memory, { tokens, finished }, numSources, piece) {
  const ids = finished ? [...tokens, END] : tokens;
  const { num_blocks: numBlocks, num_heads: numHeads } = model.settings;
  const attention = new Float32Array(numBlocks * numHeads * ids.length * numSources);
  const maps = Array.from({ length: numBlocks }, () => Array.from({ length: numHeads }, () => []));
  const record = (block, head, row, weights, count) => {
    maps[block][head].push(new Float32Array(weights.subarray(0, count)));
    const at = (block * numHeads + head) * ids.length + row;
    attention.set(maps[block][head][row], at * numSources);
  };
  const logits = model.decode([BEGIN, ...ids.slice(0, -1)], model.newState(), memory, record);
  const size = model.settings.vocab_size;
  const expected = ids.map((_, t) => logSoftmax(logits.subarray(t * size, (t + 1) * size)));
  const surprises = ids.map((id, t) => -expected[t][id] / Math.LN2);
  for (const row of expected) for (const id of NEVER) row[id] = -Infinity;
  return {
    ids, units: ids.map(piece), surprises,
    alternatives: expected.map((row) => alternatives(row, piece).filter(([, , p]) => p > 0)),
    attention, entropy: maps.map((heads) => heads.map(entropyOf)),
  };
}
