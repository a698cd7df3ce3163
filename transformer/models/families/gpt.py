"""The settings of the decoder-only transformer."""

from dataclasses import dataclass
from types import MappingProxyType

from transformer.models.families.base import TransformerSettings, key


@dataclass(frozen=True, kw_only=True)
class GPTSettings(TransformerSettings):
    """`position_gain` scales sinusoids by a learned number: `ScaledSinusoidalPositions`.

    A model whose vocabulary has grown has a `head_bias`, and its n-grams are numbered as in the
    vocabulary of `ngram_vocab_size` symbols with which it began: see `transformer.models.growing`.
    """

    name = "gpt"
    model_class = "transformer.models.gpt:GPT"
    in_older_files = MappingProxyType({"position_gain": False})

    token_shift: bool = key(
        False, "add to each embedding a learned share, by channel, of the previous one"
    )
    position_gain: bool = True
    head_bias: bool = False
    ngram_vocab_size: int | None = None  # None: vocab_size

    @property
    def attention_dropout(self) -> float:
        return self.dropout
