"""Splits a text into training, validation and test, at a character and not at a token."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Cuts(NamedTuple):
    """Where the training split and the validation split end; the rest is the test split."""

    train: int  # characters
    val: int

    def parts(self, text: str) -> tuple[str, str, str]:
        return text[: self.train], text[self.train : self.val], text[self.val :]


def cuts_at(num_characters: int, val_fraction: float, test_fraction: float = 0.0) -> Cuts:
    """Training is the first part of a text, validation comes next, a test split is its end."""
    train = int(num_characters * (1 - val_fraction - test_fraction))
    return Cuts(train, int(num_characters * (1 - test_fraction)))


def recorded_cuts(record: Mapping[str, Any], num_characters: int, val_fraction: float) -> Cuts:
    """The splits of a model's own text; `record` is from the model's file.

    Older files do not have these numbers; then `val_fraction` gives them.
    """
    train, val = record.get("num_train_characters"), record.get("num_val_characters")
    if not isinstance(train, int):
        return cuts_at(num_characters, val_fraction)
    return Cuts(train, train + val if isinstance(val, int) else num_characters)
