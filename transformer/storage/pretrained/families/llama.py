"""Llama (Touvron et al. 2023), as transformers stores it; SmolLM2 is of this class too.

Imports no torch.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from transformer.models.families.gpt import GPTSettings
from transformer.storage.pretrained.families.base import PretrainedFamily, Tensor, block_size
from transformer.storage.pretrained.values import Values

_ACTIVATIONS = {"silu": "swiglu", "swish": "swiglu"}  # of the gate
_SCALINGS = {"default": False, "llama3": True}
_SCALING = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
# Our part of a block -> theirs, one below the other.
_NORMS = {
    "attention_norm": ("input_layernorm",),
    "feedforward_norm": ("post_attention_layernorm",),
}
_ATTENTION = {
    "attention.qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "attention.output": ("self_attn.o_proj",),
}
_FEEDFORWARD = {
    "feedforward.input": ("mlp.gate_proj", "mlp.up_proj"),
    "feedforward.output": ("mlp.down_proj",),
}


class PretrainedLlama(PretrainedFamily):
    name = "LlamaForCausalLM"
    prefix = "model."
    embedding = "embed_tokens.weight"
    unused = r"(layers\.\d+\.self_attn\.)?rotary_emb\.inv_freq"
    norms: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType(_NORMS)
    qk_norm: ClassVar[bool] = False
    usual_head_dim: ClassVar[int | None] = None  # where the file has none

    @classmethod
    def settings(cls, values: Values) -> GPTSettings:
        width, num_heads = values.whole("hidden_size"), values.whole("num_attention_heads")
        values.one_of("hidden_act", _ACTIVATIONS, "silu")
        has_head_dim = values.get("head_dim", cls.usual_head_dim) is not None
        return GPTSettings(
            vocab_size=values.whole("vocab_size"),
            block_size=block_size(values, "max_position_embeddings"),
            embedding_dim=width,
            num_heads=num_heads,
            num_kv_heads=values.whole("num_key_value_heads", num_heads),
            **({"head_dim": values.whole("head_dim", cls.usual_head_dim)} if has_head_dim else {}),
            num_blocks=values.whole("num_hidden_layers"),
            positions="rotary",
            **_rotary(values),
            norm="rmsnorm",
            norm_eps=values.number("rms_norm_eps", 1e-6),
            qk_norm=cls.qk_norm,
            activation="swiglu",
            feedforward_dim=values.whole("intermediate_size"),
            bias=any(_biases(values)),
            tie_weights=values.truth("tie_word_embeddings", default=False),
        )

    @classmethod
    def tensors(cls, values: Values, settings: GPTSettings) -> Iterator[Tensor]:
        of_attention, of_feedforward = _biases(values)
        yield Tensor("token_embedding.weight", (cls.embedding,))
        for number in range(settings.num_blocks):
            ours, theirs = f"blocks.{number}", f"layers.{number}"
            for part, names in {**cls.norms, **_ATTENTION, **_FEEDFORWARD}.items():
                sources = tuple(f"{theirs}.{name}.weight" for name in names)
                yield Tensor(f"{ours}.{part}.weight", sources)
            for parts, has_bias in ((_ATTENTION, of_attention), (_FEEDFORWARD, of_feedforward)):
                for part, names in parts.items() if settings.bias else ():
                    sources = tuple(f"{theirs}.{name}.bias" for name in names)
                    yield Tensor(f"{ours}.{part}.bias", sources if has_bias else ())
        yield Tensor("final_norm.weight", ("norm.weight",))


def _biases(values: Values) -> tuple[bool, bool]:
    """Whether attention has them, and the feed-forward."""
    names = ("attention_bias", "mlp_bias")
    attention, feedforward = (values.truth(name, default=False) for name in names)
    return attention, feedforward


def _rotary(values: Values) -> dict[str, Any]:
    """From `rope_parameters` of transformers 5, or from `rope_theta` and `rope_scaling` before."""
    values.refuse("partial_rotary_factor", 1.0)
    name = "rope_scaling" if values.get("rope_parameters") is None else "rope_parameters"
    scaling = values.inner(name)
    scaling.refuse("partial_rotary_factor", 1.0)
    kind = "rope_type" if scaling.get("rope_type") is not None else "type"  # as older files say
    is_scaled = scaling.one_of(kind, _SCALINGS, "default")
    return {
        "rotary_base": scaling.number("rope_theta", values.number("rope_theta", 10000.0)),
        "rotary_scaling": [scaling.number(part) for part in _SCALING] if is_scaled else None,
    }
