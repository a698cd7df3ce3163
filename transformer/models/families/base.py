"""The base classes of the settings of a model family. Imports no torch.

Config keys, their checks and the model itself are made from these settings.
"""

from collections.abc import Mapping
from dataclasses import Field, asdict, dataclass, field, fields, is_dataclass
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_type_hints

ROTARY_BASE = 10000.0  # arXiv:2104.09864, 3.2.2
_SCALING = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")

if TYPE_CHECKING:  # after `__post_init__`
    AutoInt = int
else:
    AutoInt = int | Literal["auto"]


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
    shows_learning: ClassVar[bool] = True  # whether its page has a slider through its snapshots
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


def check_kv_heads(num_heads: int, num_kv_heads: int) -> None:
    """Raises: ValueError if num_heads is not divisible by num_kv_heads."""
    if num_kv_heads < 1 or num_heads % num_kv_heads:
        raise ValueError(
            "num_heads must be divisible by num_kv_heads, "
            f"got num_heads={num_heads} and num_kv_heads={num_kv_heads}"
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
    rotary_base: float = key(
        ROTARY_BASE, "rotary: the larger, the more slowly the slowest numbers of a head turn", gt=1
    )
    rotary_scaling: list[float] | None = key(
        None,
        "rotary: stretched for long contexts as in Llama 3.1: factor, low_freq_factor, "
        "high_freq_factor, original_max_position_embeddings",
    )
    num_kv_heads: AutoInt = key(
        "auto", "heads of keys and values, each for several of the heads; auto: num_heads", gt=0
    )
    head_dim: AutoInt = key("auto", "width of a head; auto: embedding_dim / num_heads", gt=0)
    norm: str = key("layernorm", "normalization", choices=("layernorm", "rmsnorm"))
    norm_first: bool = key(
        True, "normalize before attention and feed-forward (pre-norm); false: after (post-norm)"
    )
    norm_eps: float = key(1e-5, "norms: number added against division by zero", gt=0)
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
        self._resolve_heads()
        self._check_rotary()
        width = 4 * self.embedding_dim
        if self.activation == "swiglu":  # it has three matrices: 8/3 C, a multiple of 8
            width = max(8, 8 * round(self.embedding_dim / 3))
        object.__setattr__(self, "feedforward_dim", self.feedforward_dim or width)

    def _resolve_heads(self) -> None:
        if self.head_dim == "auto":
            check_heads(self.embedding_dim, self.num_heads)
            object.__setattr__(self, "head_dim", self.embedding_dim // self.num_heads)
        if self.num_kv_heads == "auto":
            object.__setattr__(self, "num_kv_heads", self.num_heads)
        check_kv_heads(self.num_heads, self.num_kv_heads)

    def _check_rotary(self) -> None:
        for name, default in (("rotary_base", ROTARY_BASE), ("rotary_scaling", None)):
            if self.positions != "rotary" and (value := getattr(self, name)) != default:
                raise ValueError(
                    f"{name} is for rotary positions, got {name}={value} and "
                    f"positions={self.positions}: leave it out, or give positions rotary"
                )
        if self.positions == "rotary" and self.head_dim % 2:
            if self.head_dim * self.num_heads != self.embedding_dim:
                raise ValueError(f"rotary positions need an even head_dim, got {self.head_dim}")
            raise ValueError(
                "rotary positions need an even embedding_dim / num_heads, "
                f"got {self.embedding_dim} / {self.num_heads} = {self.head_dim}"
            )
        if self.rotary_scaling is not None:
            self._check_scaling(self.rotary_scaling)

    def _check_scaling(self, scaling: list[float]) -> None:
        object.__setattr__(self, "rotary_scaling", list(scaling))
        if len(scaling) != len(_SCALING):
            raise ValueError(
                f"rotary_scaling must be {len(_SCALING)} numbers ({', '.join(_SCALING)}), "
                f"got {len(scaling)}"
            )
        _, low, high, _ = scaling
        if low >= high:
            raise ValueError(
                "rotary_scaling: low_freq_factor must be below high_freq_factor, "
                f"got {low:g} and {high:g}"
            )

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
