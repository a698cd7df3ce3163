"""Splits a text into training and validation, at a character and not at a token."""

from collections.abc import Mapping
from typing import Any


def cut_at(num_characters: int, val_fraction: float) -> int:
    """Characters of the training split, which is the first part; the rest is for validation."""
    return int(num_characters * (1 - val_fraction))


def recorded_cut(record: Mapping[str, Any], num_characters: int, val_fraction: float) -> int:
    """Characters of the training split of a model's own text; `record` is from the model's file.

    Older files do not have this number; then `val_fraction` gives it.
    """
    cut = record.get("num_train_characters")
    return cut if isinstance(cut, int) else cut_at(num_characters, val_fraction)
