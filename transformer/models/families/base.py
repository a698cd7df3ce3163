"""The base classes of the settings of a model family. Imports no torch.

Config keys, their checks and the model itself are made from these settings.
"""

from collections.abc import Mapping
from dataclasses import Field, asdict, dataclass, field, fields, is_dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, ClassVar, get_type_hints


def key(
    default: Any, description: str, *, choices: tuple[str, ...] = (), **bounds: int | float
) -> Any:
    """A field that is also a config key. `bounds` are gt, ge, lt and le."""
    about = {"description": description, "choices": choices, "bounds": bounds}
    return field(default=default, metadata=about)


@dataclass(frozen=True, kw_only=True)
class Family:
    """The settings of one model. The `name` of a subclass in this folder is a value of `model`.

    A field made by `key` is a config key. Sizes without a default come from the tokenizer or from
    required keys. `__post_init__` raises ValueError for settings that contradict each other.
    """

    name: ClassVar[str]
    model_class: ClassVar[str]  # "module:Class"
    data: ClassVar[str] = "text"  # the kind of training data: a name in `tasks/registry.py`
    # Older model files do not have these fields; the models in them have these values.
    in_older_files: ClassVar[Mapping[str, Any]] = MappingProxyType({})

    vocab_size: int
    block_size: int

    def __post_init__(self) -> None: ...

    @classmethod
    @cache
    def own_keys(cls) -> dict[str, tuple[Any, Field]]:
        """The type and the field of each key; a key's field is from the base class that adds it."""
        bases = [base for base in cls.__mro__ if is_dataclass(base)]
        found = {f.name: f for base in bases for f in fields(base) if f.metadata}
        types = get_type_hints(cls)
        return {name: (types[name], found[name]) for name in cls.field_names() if name in found}

    @classmethod
    def field_names(cls) -> list[str]:
        return [f.name for f in fields(cls)]

    @property
    def architecture(self) -> dict[str, Any]:
        """The arguments of `build_model` as plain values, for a checkpoint."""
        return {"model": self.name} | asdict(self)

    def doubts(self, warmup_steps: int | str) -> list[str]:
        """Warnings: a line for each valid choice that is known to train badly, and what to do."""
        return []


def check_heads(embedding_dim: int, num_heads: int) -> None:
    """Raises: ValueError if embedding_dim is not divisible by num_heads."""
    if num_heads < 1 or embedding_dim % num_heads:
        raise ValueError(
            "embedding_dim must be divisible by num_heads, "
            f"got embedding_dim={embedding_dim} and num_heads={num_heads}"
        )


# Xiong et al. 2020 (arXiv:2002.04745) could not train 6 post-norm blocks without a warmup. Here,
# 2 blocks train well without it.
DEEP = 6


@dataclass(frozen=True, kw_only=True)
class TransformerSettings(Family):
    embedding_dim: int
    num_heads: int
    num_blocks: int
    positions: str = key(
        "learned",
        "how the model knows the positions of tokens",
        choices=("learned", "sinusoidal", "rotary", "none"),
    )
    norm: str = key("layernorm", "normalization", choices=("layernorm", "rmsnorm"))
    norm_first: bool = key(
        True, "normalize before attention and feed-forward (pre-norm); false: after (post-norm)"
    )
    qk_norm: bool = key(False, "normalize each head's queries and keys with RMSNorm")
    activation: str = key(
        "gelu",
        "feed-forward activation; gelu is exact, relu2 is the square of relu",
        choices=("gelu", "gelu_tanh", "relu", "relu2", "swiglu"),
    )
    feedforward_dim: int | None = key(
        None, "feed-forward width; by default 4 x embedding_dim, for swiglu 8/3 x", gt=0
    )
    dropout: float = key(
        0.0,
        "probability of setting a number to 0: in embeddings, in the output of attention and "
        "feed-forward and, for a gpt, in attention weights",
        ge=0,
        lt=1,
    )
    bias: bool = key(True, "add biases in linear layers and layer norms")
    tie_weights: bool = key(True, "use one matrix as token embedding and output head")
    ngram_size: int = key(
        1, "also add embeddings of the last 2, 3, ... up to this many tokens together", gt=0, le=5
    )
    ngram_buckets: int = key(
        8192, "rows of an n-gram embedding table; several n-grams may share a row", gt=0
    )

    def __post_init__(self) -> None:
        check_heads(self.embedding_dim, self.num_heads)
        if self.positions == "rotary" and self.head_dim % 2:
            raise ValueError(
                "rotary positions need an even embedding_dim / num_heads, "
                f"got {self.embedding_dim} / {self.num_heads} = {self.head_dim}"
            )
        width = 4 * self.embedding_dim
        if self.activation == "swiglu":  # it has three matrices: 8/3 C, a multiple of 8
            width = max(8, 8 * round(self.embedding_dim / 3))
        object.__setattr__(self, "feedforward_dim", self.feedforward_dim or width)

    @property
    def head_dim(self) -> int:
        return self.embedding_dim // self.num_heads

    @property
    def attention_dropout(self) -> float:
        """Of attention weights."""
        return 0.0

    def doubts(self, warmup_steps: int | str) -> list[str]:
        if self.num_blocks < DEEP or self.norm_first or warmup_steps != 0:
            return []
        return [
            f"norm_first: false in {self.num_blocks} blocks learns late or never without a warmup: "
            "give --warmup_steps auto or --norm_first true"
        ]
