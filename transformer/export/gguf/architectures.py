"""llama.cpp's architectures: the values of a file's header, and the tensors it has otherwise."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from transformer.models.families.gpt import GPTSettings
from transformer.models.parts.positions import rotary_frequencies
from transformer.system.errors import UserError

Header = dict[str, int | float]
_LEAST_BLOCK = 2  # with a shorter one, its server ends the process
_ROTARY = ("self_attn.q_proj", "self_attn.k_proj")


class Architecture(ABC):
    """One of llama.cpp's, by the short name that it has in transformers too."""

    name: ClassVar[str]
    tolerance: ClassVar[float] = 0.0  # of logits, if it is larger than that of the number format

    # Of these settings it has one value, where the class of transformers has several.
    fixed: ClassVar[Mapping[str, Any]] = MappingProxyType({})

    @classmethod
    def check(cls, settings: GPTSettings) -> None:
        """Raises: UserError for what the class of transformers has and this one has not."""
        if settings.block_size < _LEAST_BLOCK:
            raise UserError(
                f"llama.cpp needs a context of {_LEAST_BLOCK} tokens or more, got "
                f"block_size={settings.block_size}: export the model with `to=huggingface`"
            )
        for name, value in cls.fixed.items():
            found = getattr(settings, name)
            if found != value:
                raise UserError(
                    f"llama.cpp's {cls.name} has {name} {shown(value)} alone, and this model has "
                    f"{shown(found)}: export it with `to=huggingface`"
                )

    @classmethod
    def header(cls, settings: GPTSettings, feedforward_dim: int) -> Header:
        return {
            "context_length": settings.block_size,
            "embedding_length": settings.embedding_dim,
            "block_count": settings.num_blocks,
            "feed_forward_length": feedforward_dim,
            "attention.head_count": settings.num_heads,
            **cls.other_values(settings),
        }

    @classmethod
    @abstractmethod
    def other_values(cls, settings: GPTSettings) -> Header: ...

    @classmethod
    def array(cls, name: str, theirs: NDArray[Any], settings: GPTSettings) -> NDArray[Any]:
        """A tensor of transformers as llama.cpp has it."""
        return theirs

    @classmethod
    def more(cls, settings: GPTSettings) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """Tensors that transformers computes from its settings."""
        yield from ()


class GPT2(Architecture):
    name = "gpt2"

    # llama.cpp looks gelu up in a table of float16.
    tolerance = 2e-2
    fixed: ClassVar[Mapping[str, Any]] = MappingProxyType({"activation": "gelu_tanh"})

    @classmethod
    def other_values(cls, settings: GPTSettings) -> Header:
        return {"attention.layer_norm_epsilon": settings.norm_eps}

    @classmethod
    def array(cls, name: str, theirs: NDArray[Any], settings: GPTSettings) -> NDArray[Any]:
        """The matrices of its layers are (inputs, outputs) there."""
        is_layer = name.startswith("transformer.h.") and theirs.ndim == 2
        return np.ascontiguousarray(theirs.T) if is_layer else theirs


class Qwen3(Architecture):
    name = "qwen3"

    fixed: ClassVar[Mapping[str, Any]] = MappingProxyType({"rotary_scaling": None})

    @classmethod
    def other_values(cls, settings: GPTSettings) -> Header:
        return {
            "attention.head_count_kv": settings.num_kv_heads,
            "attention.key_length": settings.head_dim,
            "attention.value_length": settings.head_dim,
            "attention.layer_norm_rms_epsilon": settings.norm_eps,
            "rope.dimension_count": settings.head_dim,
            "rope.freq_base": settings.rotary_base,
        }


class Llama(Qwen3):
    """Rotates the pair (2i, 2i + 1) of a head's numbers, where transformers has (i, i + D/2)."""

    name = "llama"

    fixed: ClassVar[Mapping[str, Any]] = MappingProxyType({})

    @classmethod
    def other_values(cls, settings: GPTSettings) -> Header:
        return {**super().other_values(settings), "vocab_size": settings.vocab_size}

    @classmethod
    def array(cls, name: str, theirs: NDArray[Any], settings: GPTSettings) -> NDArray[Any]:
        if not any(part in name for part in _ROTARY):
            return theirs
        halves = theirs.reshape(-1, 2, settings.head_dim // 2, *theirs.shape[1:])
        return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(theirs.shape)

    @classmethod
    def more(cls, settings: GPTSettings) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """By what each pair turns slower than without the scaling."""
        if settings.rotary_scaling is not None:
            width, base = settings.head_dim, settings.rotary_base
            scaled = rotary_frequencies(width, base, settings.rotary_scaling)
            yield "rope_freqs.weight", (rotary_frequencies(width, base) / scaled).float().numpy()


def shown(value: Any) -> str:
    return "none" if value is None else str(value)


ARCHITECTURES: dict[str, type[Architecture]] = {kind.name: kind for kind in (GPT2, Llama, Qwen3)}
