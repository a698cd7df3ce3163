// transformer/inspection/page.py makes `data`; each of T rows reads from S columns.

const data = JSON.parse(find("data").textContent);
const causal = data.source === null;
const columns = causal ? data.units : data.source;
const T = data.units.length;
const S = columns.length;
const WORD = data.word;

/** `levels` are 255 sqrt(w): blocks, heads, rows; a causal row t ends at column t. */
function averaged(levels, block, head) {
  const sum = new Float32Array(T * S);
  const blocks = indices(block, data.num_blocks);
  const heads = indices(head, data.num_heads);
  const size = causal ? (T * (T + 1)) / 2 : T * S;
  for (const b of blocks) {
    for (const h of heads) {
      let place = (b * data.num_heads + h) * size;
      for (let t = 0; t < T; t++) {
        for (let s = 0; s < (causal ? t + 1 : S); s++) sum[t * S + s] += levels[place++] ** 2;
      }
    }
  }
  const scale = 255 * 255 * blocks.length * heads.length;
  return sum.map((total) => total / scale);
}

/** Removes the texts about other kinds of models. */
function keepOnly() {
  const kept = {
    text: causal,
    pair: !causal,
    attention: data.num_blocks > 0,
    none: data.num_blocks === 0,
    written: data.num_written > 0,
  };
  removeOthers(kept, WORD);
}

function showFacts() {
  const mean = data.mean_surprise;
  const loss = mean === null ? "" : `, ${mean.toFixed(2)} bits of surprise per ${WORD} on average`;
  const perByte = data.mean_per_byte;
  const inBytes = perByte === null ? "" : `, ${perByte.toFixed(2)} bits per byte`;
  find("facts").textContent = `${data.model}: ${plural(T, WORD)}${loss}${inBytes}`;
  find("cut").textContent = data.cut;
}

async function start() {
  keepOnly();
  showFacts();
  const reader = new Reader({ numBlocks: data.num_blocks, numHeads: data.num_heads });
  const levels = data.num_blocks ? await unpacked(data.attention) : null;
  const { units, surprises, alternatives, entropy } = data;
  const explanation = { units, surprises, alternatives, entropy, columns, causal, word: WORD };
  const weightsOf = (block, head) => averaged(levels, block, head);
  reader.explain({ ...explanation, numBytes: data.num_bytes, weightsOf }, { numWritten: data.num_written });
  document.body.dataset.ready = "true";
  return reader;
}

const started = start();
