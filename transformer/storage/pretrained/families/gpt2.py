"""GPT-2 (Radford et al. 2019), as transformers stores it. Imports no torch."""

from collections.abc import Iterator

from transformer.models.families.gpt import GPTSettings
from transformer.storage.pretrained.families.base import PretrainedFamily, Tensor, block_size
from transformer.storage.pretrained.values import Values

_ACTIVATIONS = {
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu": "gelu",
    "relu": "relu",
}
# Our part of a block -> theirs. Their matrices are "Conv1D" layers: (inputs, outputs).
_NORMS = {"attention_norm": "ln_1", "feedforward_norm": "ln_2"}
_MATRICES = {
    "attention.qkv": "attn.c_attn",
    "attention.output": "attn.c_proj",
    "feedforward.input": "mlp.c_fc",
    "feedforward.output": "mlp.c_proj",
}


class PretrainedGPT2(PretrainedFamily):
    name = "GPT2LMHeadModel"
    prefix = "transformer."
    embedding = "wte.weight"
    unused = r"h\.\d+\.attn\.(bias|masked_bias)"  # the causal mask

    @classmethod
    def settings(cls, values: Values) -> GPTSettings:
        values.refuse("scale_attn_weights", True)
        values.refuse("scale_attn_by_inverse_layer_idx", False)
        values.refuse("add_cross_attention", False)
        width = values.whole("n_embd")
        return GPTSettings(
            vocab_size=values.whole("vocab_size"),
            block_size=block_size(values, "n_positions", "n_ctx"),
            embedding_dim=width,
            num_heads=values.whole("n_head"),
            num_blocks=values.whole("n_layer"),
            positions="learned",
            norm="layernorm",
            norm_eps=values.number("layer_norm_epsilon", 1e-5),
            activation=values.one_of("activation_function", _ACTIVATIONS, "gelu_new"),
            feedforward_dim=values.whole("n_inner", 4 * width),
            bias=True,
            tie_weights=values.truth("tie_word_embeddings", default=True),
        )

    @classmethod
    def tensors(cls, values: Values, settings: GPTSettings) -> Iterator[Tensor]:
        yield Tensor("token_embedding.weight", (cls.embedding,))
        yield Tensor("position_embedding.weight", ("wpe.weight",))
        for number in range(settings.num_blocks):
            for ours, theirs in (_NORMS | _MATRICES).items():
                for part in ("weight", "bias"):
                    transposed = ours in _MATRICES and part == "weight"
                    source = f"h.{number}.{theirs}.{part}"
                    yield Tensor(f"blocks.{number}.{ours}.{part}", (source,), transposed)
        for part in ("weight", "bias"):
            yield Tensor(f"final_norm.{part}", (f"ln_f.{part}",))
