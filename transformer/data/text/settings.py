"""How a text is read, split and cut into chunks. Imports no torch."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class TextSettings:
    block_size: int
    val_fraction: float = 0.1
    tokenizer: str = "characters"
    stride: int | Literal["block_size"] = 1
    sample_prompt: str = ""
