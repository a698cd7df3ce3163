"""What a model's file or folder holds, once it is loaded."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformer.data.tokenizers.base import Tokenizer
from transformer.data.tokenizers.pairs import PairTokenizer
from transformer.models.base import SequenceModel


@dataclass(frozen=True)
class SavedModel:
    """A model in eval mode, and the metadata of its file."""

    path: Path
    model: SequenceModel
    tokenizer: Tokenizer | PairTokenizer
    architecture: dict[str, Any]
    config: dict[str, Any]
    corpus: dict[str, Any]
    results: dict[str, Any]
