"""GPT-2 (Radford et al. 2019), as transformers stores it. Imports no torch."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from transformer.models.families.gpt import GPTSettings
from transformer.storage.pretrained.families.base import (
    PretrainedFamily,
    Tensor,
    Value,
    block_size,
    limited,
    truth,
)
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


def _inner_width(values: Values, name: str, _: None) -> int:
    return values.whole(name, 4 * values.whole("n_embd"))


class PretrainedGPT2(PretrainedFamily):
    name = "GPT2LMHeadModel"
    model_type = "gpt2"
    prefix = "transformer."
    embedding = "wte.weight"
    unused = r"h\.\d+\.attn\.(bias|masked_bias)"  # the causal mask

    table = (
        Value("vocab_size", "vocab_size", limited),
        Value("block_size", "n_positions", block_size, "n_ctx"),
        Value("embedding_dim", "n_embd"),
        Value("num_heads", "n_head"),
        Value("num_blocks", "n_layer"),
        Value("norm_eps", "layer_norm_epsilon", Values.number, 1e-5),
        Value("activation", "activation_function", words=_ACTIVATIONS, default="gelu_new"),
        Value("feedforward_dim", "n_inner", _inner_width),
        Value("tie_weights", "tie_word_embeddings", truth, True),
    )
    fixed: ClassVar[Mapping[str, Any]] = MappingProxyType(
        {
            "scale_attn_weights": True,
            "scale_attn_by_inverse_layer_idx": False,
            "add_cross_attention": False,
        }
    )
    parts: ClassVar[Mapping[str, Any]] = MappingProxyType(
        {"positions": "learned", "norm": "layernorm", "bias": True}
    )
    has_biases = True

    @classmethod
    def other_values(cls, settings: GPTSettings) -> dict[str, Any]:
        return {name: settings.dropout for name in ("attn_pdrop", "embd_pdrop", "resid_pdrop")}

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
