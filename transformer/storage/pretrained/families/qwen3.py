"""Qwen3 (Yang et al. 2025, arXiv:2505.09388), as transformers stores it. Imports no torch."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from transformer.models.families.gpt import GPTSettings
from transformer.storage.pretrained.families.llama import PretrainedLlama
from transformer.storage.pretrained.values import Values

_FULL = "full_attention"


class PretrainedQwen3(PretrainedLlama):
    """A Llama that normalizes the queries and keys of each head."""

    name = "Qwen3ForCausalLM"
    norms: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType(
        {
            **PretrainedLlama.norms,
            "attention.query_norm": ("self_attn.q_norm",),
            "attention.key_norm": ("self_attn.k_norm",),
        }
    )
    qk_norm = True
    usual_head_dim = 128

    @classmethod
    def settings(cls, values: Values) -> GPTSettings:
        values.refuse("use_sliding_window", False)
        if any(kind != _FULL for kind in values.get("layer_types", [])):
            raise values.refusal("layer_types", f"only {_FULL} is")
        return super().settings(values)
