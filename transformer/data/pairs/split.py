"""Which pairs are for training, for validation and for the test. Imports no torch."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Splits(NamedTuple):
    """Indices of pairs."""

    train: list[int]
    val: list[int]
    test: list[int]


class Own(NamedTuple):
    """The numbers of pairs of val_path and of test_path, which stand last; 0 without the file."""

    val: int = 0
    test: int = 0


def split_sources(
    sources: Sequence[str], val_fraction: float, test_fraction: float, own: Own
) -> Splits:
    """Puts each pair of data_path into a split by the hash of its source.

    The fractions hold on average. All answers of a source are in one split, and they stay there if
    lines are added. The pairs of the other files are in the splits that these files are for.
    """
    left = without_copies(sources, own)
    rows = np.array(left.train, dtype=np.int64)
    places = np.array([_place(sources[row]) for row in left.train])
    test = places < test_fraction
    val = ~test & (places < test_fraction + val_fraction)
    train, val, test = (rows[chosen].tolist() for chosen in (~test & ~val, val, test))
    return Splits(train, val + left.val, test + left.test)


def without_copies(sources: Sequence[str], own: Own) -> Splits:
    """The pairs of each file, without the sources that a file for a later split has too."""
    first_test = len(sources) - own.test
    first_val = first_test - own.val
    tested = set(sources[first_test:])
    held_out = tested.union(sources[first_val:first_test])
    return Splits(
        [row for row in range(first_val) if sources[row] not in held_out],
        [row for row in range(first_val, first_test) if sources[row] not in tested],
        list(range(first_test, len(sources))),
    )


def _place(source: str) -> float:
    """A pseudorandom number from 0 to 1 that depends on the source alone."""
    digest = hashlib.sha256(source.encode("utf-8")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
