"use strict";
// The settings of a saved model: a model with a key that is not known here is refused.

const TRANSFORMER_KEYS = [
  "model", "vocab_size", "block_size", "embedding_dim", "num_heads", "num_blocks", "positions",
  "rotary_base", "rotary_scaling", "num_kv_heads", "head_dim", "norm", "norm_first", "norm_eps",
  "qk_norm", "activation", "feedforward_dim", "dropout", "bias", "tie_weights", "ngram_size",
  "ngram_buckets",
];
const KEYS = {
  gpt: [...TRANSFORMER_KEYS, "token_shift", "position_gain", "head_bias", "ngram_vocab_size"],
  encoder_decoder: [
    ...TRANSFORMER_KEYS, "source_vocab_size", "target_dropout", "ctc_weight", "shared_vocabulary",
  ],
  bigram: ["model", "vocab_size", "block_size"],
};
// Files that are older than these keys hold models with these values.
const IN_OLDER_FILES = {
  rotary_base: 10000, rotary_scaling: null, num_kv_heads: null, head_dim: null, norm_eps: 1e-5,
  position_gain: false, head_bias: false, ngram_vocab_size: null, token_shift: false,
  shared_vocabulary: false,
};
const CHOICES = {
  positions: ["learned", "sinusoidal", "rotary", "none"],
  norm: ["layernorm", "rmsnorm"],
  activation: ["gelu", "gelu_tanh", "relu", "relu2", "swiglu"],
};

/** The settings of an architecture, complete. Throws an Error that names what it does not know. */
function settingsOf(architecture) {
  const known = KEYS[architecture.model];
  if (!known) {
    const names = Object.keys(KEYS).join(", ");
    throw new Error(`model must be one of ${names}, got ${architecture.model}`);
  }
  const unknown = Object.keys(architecture).filter((key) => !known.includes(key));
  if (unknown.length) {
    throw new Error(`this page does not know the model's setting ${unknown.join(", ")}`);
  }
  const settings = { ...IN_OLDER_FILES, ...architecture };
  if (settings.model === "bigram") return settings;
  for (const [key, choices] of Object.entries(CHOICES)) {
    if (!choices.includes(settings[key])) {
      throw new Error(`${key} must be one of ${choices.join(", ")}, got ${settings[key]}`);
    }
  }
  settings.num_kv_heads = settings.num_kv_heads || settings.num_heads;
  settings.head_dim = settings.head_dim || settings.embedding_dim / settings.num_heads;
  return settings;
}
