"""The text with which samples of an exported model begin. Imports no torch."""

from collections.abc import Mapping
from typing import Any

from transformer.data.tokenizers.base import Tokenizer


def prompt_of(config: Mapping[str, Any], tokenizer: Tokenizer) -> str:
    """That of the run's own samples or a line end, if it is known; else any text that is."""
    wanted = (str(config.get("sample_prompt") or ""), "\n", *map(str, tokenizer.pieces))
    return next(text for text in wanted if text and not tokenizer.unknown(text))
