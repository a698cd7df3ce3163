"""How a text is read, split and cut into chunks. Imports no torch."""

from dataclasses import dataclass
from typing import Literal

from transformer.data.fractions import check_fractions
from transformer.data.tokenizers.registry import TOKENIZERS


@dataclass(frozen=True, kw_only=True)
class TextSettings:
    block_size: int
    val_fraction: float = 0.1
    test_fraction: float = 0.0
    tokenizer: str = "characters"  # the name of a kind, or the path of a file
    vocab_size: int | Literal["auto"] = "auto"
    min_frequency: int = 2
    stride: int | Literal["block_size"] = 1
    sample_prompt: str = ""

    def __post_init__(self) -> None:
        check_fractions(self.val_fraction, self.test_fraction)

    @property
    def used_keys(self) -> tuple[str, ...]:
        """The keys of tokenizers that the chosen one has; a file has its own values."""
        kind = TOKENIZERS.get(self.tokenizer)
        return kind.keys if kind else ()

    @property
    def tokens(self) -> str:
        return f"tokenizer: {self.tokenizer}"

    with_pieces = "tokenizer: bpe"
