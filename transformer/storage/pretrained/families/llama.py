"""Llama (Touvron et al. 2023), as transformers stores it; SmolLM2 is of this class too.

Imports no torch.
"""

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

_ACTIVATIONS = {"silu": "swiglu", "swish": "swiglu"}  # of the gate
_SCALINGS = {"default": False, "llama3": True}
_SCALING = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
_BIASES = ("attention_bias", "mlp_bias")
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


def _kv_heads(values: Values, name: str, _: None) -> int:
    return values.whole(name, values.whole("num_attention_heads"))


def head_dim(values: Values, name: str, default: int | None) -> int | str:
    """By default, that of the class; without one, it follows from the width."""
    return "auto" if values.get(name, default) is None else values.whole(name, default)


class PretrainedLlama(PretrainedFamily):
    name = "LlamaForCausalLM"
    model_type = "llama"
    prefix = "model."
    embedding = "embed_tokens.weight"
    unused = r"(layers\.\d+\.self_attn\.)?rotary_emb\.inv_freq"
    norms: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType(_NORMS)
    biases: ClassVar[tuple[str, ...]] = _BIASES  # those that the class has
    table: ClassVar[tuple[Value, ...]] = (
        Value("vocab_size", "vocab_size", limited),
        Value("block_size", "max_position_embeddings", block_size),
        Value("embedding_dim", "hidden_size"),
        Value("num_heads", "num_attention_heads"),
        Value("num_kv_heads", "num_key_value_heads", _kv_heads),
        Value("head_dim", "head_dim", head_dim),
        Value("num_blocks", "num_hidden_layers"),
        Value("norm_eps", "rms_norm_eps", Values.number, 1e-6),
        Value("activation", "hidden_act", words=_ACTIVATIONS, default="silu"),
        Value("feedforward_dim", "intermediate_size"),
        Value("tie_weights", "tie_word_embeddings", truth, False),
    )
    fixed: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    parts: ClassVar[Mapping[str, Any]] = MappingProxyType(
        {"positions": "rotary", "norm": "rmsnorm", "qk_norm": False}
    )

    @classmethod
    def other_settings(cls, values: Values) -> dict[str, Any]:
        return {"bias": any(_biases(values)), **_rotary(values)}

    @classmethod
    def other_values(cls, settings: GPTSettings) -> dict[str, Any]:
        biases = dict.fromkeys(cls.biases, settings.bias and cls.biases == _BIASES)
        return {**biases, **_rope(settings), "attention_dropout": settings.dropout}

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
    attention, feedforward = (values.truth(name, default=False) for name in _BIASES)
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


def _rope(settings: GPTSettings) -> dict[str, Any]:
    """In the words of transformers 5, and in those before."""
    base, scaling = settings.rotary_base, settings.rotary_scaling
    kind = next(name for name, is_scaled in _SCALINGS.items() if is_scaled == bool(scaling))
    numbers = dict(zip(_SCALING, scaling or (), strict=bool(scaling)))
    if scaling:  # a length, which transformers wants as a whole number
        numbers[_SCALING[-1]] = int(numbers[_SCALING[-1]])
    parameters = {"rope_type": kind, **numbers}
    return {
        "rope_parameters": parameters | {"rope_theta": base},
        "rope_theta": base,
        "rope_scaling": parameters if scaling else None,
    }
