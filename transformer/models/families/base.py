"""What every model family has: settings, from which keys, checks and the model follow. No torch."""

from collections.abc import Mapping
from dataclasses import Field, asdict, dataclass, field, fields
from types import MappingProxyType
from typing import Any, ClassVar, get_type_hints


def key(
    default: Any, description: str, *, choices: tuple[str, ...] = (), **bounds: int | float
) -> Any:
    """A field that is a key of a config, too. `bounds` are gt, ge, lt and le."""
    about = {"description": description, "choices": choices, "bounds": bounds}
    return field(default=default, metadata=about)


@dataclass(frozen=True, kw_only=True)
class Family:
    """The settings of one model. A subclass in a file of this folder is a value of the key `model`.

    A field made by `key` is a key of the config. Sizes without a default come from the tokenizer
    or from the required keys. `__post_init__` raises ValueError for settings that do not fit.
    """

    name: ClassVar[str]
    model_class: ClassVar[str]  # "module:Class"
    data: ClassVar[str] = "text"  # what it is trained on: a name in `tasks/registry.py`
    # Fields that are younger than some model files, with the value they have in these files.
    in_older_files: ClassVar[Mapping[str, Any]] = MappingProxyType({})

    vocab_size: int
    block_size: int

    def __post_init__(self) -> None: ...

    @classmethod
    def own_keys(cls) -> dict[str, tuple[Any, Field]]:
        """The type and the field of each key, as the first class that has the key defines it."""
        found: dict[str, Field] = {}
        for base in reversed(cls.__mro__):
            own = [f for f in getattr(base, "__dataclass_fields__", {}).values() if f.metadata]
            found = {f.name: f for f in own} | found
        types = get_type_hints(cls)
        return {name: (types[name], found[name]) for name in cls.field_names() if name in found}

    @classmethod
    def field_names(cls) -> list[str]:
        return [f.name for f in fields(cls)]

    @property
    def architecture(self) -> dict[str, Any]:
        """The model's row in a checkpoint: plain arguments of `build_model`."""
        return {"model": self.name} | asdict(self)

    def doubts(self, warmup_steps: int | str) -> list[str]:
        """A line for each choice that is valid and yet known to train badly, with the way out."""
        return []


def check_heads(embedding_dim: int, num_heads: int) -> None:
    """Raises: ValueError for heads that do not share the width evenly."""
    if num_heads < 1 or embedding_dim % num_heads:
        raise ValueError(
            "embedding_dim must be divisible by num_heads, "
            f"got embedding_dim={embedding_dim} and num_heads={num_heads}"
        )


# Xiong et al. 2020 (arXiv:2002.04745) could not train 6 post-norm blocks without a warmup; 2 blocks
# need none here.
DEEP = 6


@dataclass(frozen=True, kw_only=True)
class TransformerSettings(Family):
    """What a GPT and an encoder-decoder have in common."""

    embedding_dim: int
    num_heads: int
    num_blocks: int
    positions: str = key(
        "learned",
        "how the model tells one position from another",
        choices=("learned", "sinusoidal", "rotary", "none"),
    )
    norm: str = key("layernorm", "normalization", choices=("layernorm", "rmsnorm"))
    norm_first: bool = key(
        True, "normalize before attention and feed-forward (pre-norm), not after"
    )
    qk_norm: bool = key(False, "normalize each head's queries and keys with RMSNorm")
    activation: str = key(
        "gelu",
        "feed-forward activation; gelu is exact, relu2 is relu squared",
        choices=("gelu", "gelu_tanh", "relu", "relu2", "swiglu"),
    )
    feedforward_dim: int | None = key(
        None, "feed-forward width; by default 4 x embedding_dim, 8/3 for swiglu", gt=0
    )
    dropout: float = key(
        0.0,
        "probability of zeroing a number in what each part adds, in embeddings and, of a gpt, in "
        "attention weights",
        ge=0,
        lt=1,
    )
    bias: bool = key(True, "additive biases in linear layers and layer norms")
    tie_weights: bool = key(True, "one matrix for token embedding and output head")
    ngram_size: int = key(
        1, "embed the last n tokens together too, from 2 up to this n", gt=0, le=5
    )
    ngram_buckets: int = key(
        8192, "rows of a table of n-grams; more n-grams than rows share them", gt=0
    )

    def __post_init__(self) -> None:
        check_heads(self.embedding_dim, self.num_heads)
        if self.positions == "rotary" and self.head_dim % 2:
            raise ValueError(
                "rotary positions need an even embedding_dim / num_heads, "
                f"got {self.embedding_dim} / {self.num_heads} = {self.head_dim}"
            )
        object.__setattr__(self, "feedforward_dim", self.hidden_dim)

    @property
    def hidden_dim(self) -> int:
        """The feed-forward width, by default 4 C.

        For swiglu, which has three matrices, 8/3 C to the nearest multiple of 8.
        """
        if self.feedforward_dim:
            return self.feedforward_dim
        if self.activation == "swiglu":
            return max(8, 8 * round(self.embedding_dim / 3))
        return 4 * self.embedding_dim

    @property
    def head_dim(self) -> int:
        return self.embedding_dim // self.num_heads

    def doubts(self, warmup_steps: int | str) -> list[str]:
        if self.num_blocks < DEEP or self.norm_first or warmup_steps != 0:
            return []
        return [
            f"norm_first: false in {self.num_blocks} blocks learns late or never without a warmup: "
            "give --warmup_steps auto or --norm_first true"
        ]
