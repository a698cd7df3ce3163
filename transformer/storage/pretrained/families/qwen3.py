"""Qwen3 (Yang et al. 2025, arXiv:2505.09388), as transformers stores it. Imports no torch."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from transformer.models.families.gpt import GPTSettings
from transformer.storage.pretrained.families.base import Value
from transformer.storage.pretrained.families.llama import PretrainedLlama, head_dim
from transformer.storage.pretrained.values import Values

_FULL = "full_attention"


class PretrainedQwen3(PretrainedLlama):
    """A Llama that normalizes the queries and keys of each head."""

    name = "Qwen3ForCausalLM"
    model_type = "qwen3"
    norms: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType(
        {
            **PretrainedLlama.norms,
            "attention.query_norm": ("self_attn.q_norm",),
            "attention.key_norm": ("self_attn.k_norm",),
        }
    )
    biases = ("attention_bias",)
    table = tuple(
        Value("head_dim", "head_dim", head_dim, 128) if row.field == "head_dim" else row
        for row in PretrainedLlama.table
    )
    fixed: ClassVar[Mapping[str, Any]] = MappingProxyType({"use_sliding_window": False})
    parts: ClassVar[Mapping[str, Any]] = MappingProxyType(
        {**PretrainedLlama.parts, "qk_norm": True}
    )

    @classmethod
    def settings(cls, values: Values) -> GPTSettings:
        if any(kind != _FULL for kind in values.get("layer_types", [])):
            raise values.refusal("layer_types", f"only {_FULL} is")
        return super().settings(values)
