"""How a text is read, cut and passed over. Imports no torch."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class TextSettings:
    """The keys of a config that say what a model is trained on, of a text."""

    block_size: int
    val_fraction: float = 0.1
    tokenizer: str = "characters"
    stride: int | Literal["block_size"] = 1
    sample_prompt: str = ""
