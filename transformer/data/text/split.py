"""Where a text is cut into training and validation: in characters, whatever the tokenizer."""

from collections.abc import Mapping
from typing import Any


def cut_at(num_characters: int, val_fraction: float) -> int:
    """Characters of the training split, the text's head. The tail is the validation split."""
    return int(num_characters * (1 - val_fraction))


def recorded_cut(record: Mapping[str, Any], num_characters: int, val_fraction: float) -> int:
    """Where a model's own text was cut: `record` is what the model's file says of the text.

    A file from before the cut was recorded leaves it to the fraction.
    """
    cut = record.get("num_train_characters")
    return cut if isinstance(cut, int) else cut_at(num_characters, val_fraction)
