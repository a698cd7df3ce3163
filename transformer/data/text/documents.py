"""Splits a corpus of many documents, so that no document is in two splits. Imports no torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from transformer.data.text.settings import TextSettings
from transformer.data.text.split import Cuts, cuts_at

TRAIN, VAL, TEST, LEFT_OUT = range(4)
SPLITS = (TRAIN, VAL, TEST)
LEAST_DOCUMENTS = 20  # with fewer, validation is the end of the text


class Piece(NamedTuple):
    """Characters of a document that are in one split; `end` None: up to its end."""

    split: int
    start: int
    end: int | None


@runtime_checkable
class Split(Protocol):
    """Which parts of each document are in which split."""

    def __len__(self) -> int:
        """The number of documents."""
        ...

    def pieces(self, number: int) -> list[Piece]: ...

    def part(self, first: int, count: int) -> "Split":
        """Of the documents from `first` on, which are then counted from 0."""
        ...


@dataclass(frozen=True)
class WholeDocuments:
    """`places` has the split of each document."""

    places: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.places)

    def pieces(self, number: int) -> list[Piece]:
        place = int(self.places[number])
        return [] if place == LEFT_OUT else [Piece(place, 0, None)]

    def part(self, first: int, count: int) -> "WholeDocuments":
        return WholeDocuments(self.places[first : first + count])


@dataclass(frozen=True)
class Tails:
    """The end of each part is for validation and test.

    `starts` are the characters of the part before each document, and `cuts` those where the splits
    of its part end.
    """

    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    cuts: Sequence[Cuts]
    parts: NDArray[np.int64]  # the part of each document

    def __len__(self) -> int:
        return len(self.starts)

    def pieces(self, number: int) -> list[Piece]:
        start, length = int(self.starts[number]), int(self.lengths[number])
        cuts = self.cuts[int(self.parts[number])]
        borders = [min(max(cut - start, 0), length) for cut in (0, *cuts, start + length)]
        return [
            Piece(split, first, None if end == length else end)
            for split, (first, end) in zip(SPLITS, pairwise(borders), strict=True)
            if end > first
        ]

    def part(self, first: int, count: int) -> "Tails":
        own = slice(first, first + count)
        return Tails(self.starts[own], self.lengths[own], self.cuts, self.parts[own])


def keys_of(digests: Sequence[bytes]) -> NDArray[np.uint64]:
    """The first 8 bytes of each digest; equal documents have equal keys."""
    return np.frombuffer(b"".join(digest[:8] for digest in digests), dtype=">u8").astype(np.uint64)


def split_of(
    keys: NDArray[np.uint64],
    lengths: NDArray[np.int64],
    parts: NDArray[np.int64],
    settings: TextSettings,
    *,
    num_own: int,
) -> Split:
    """As the settings say; the last `num_own` documents are those of `val_path`."""
    is_read = read_documents_of(keys, settings, num_own=num_own)
    if num_own:
        split = own_validation(keys, len(keys) - num_own)
    else:
        # Only a mix has parts of its own: others are read as one text.
        parts = parts if settings.data_weights is not None else np.zeros_like(parts)
        fractions = {"val_fraction": settings.val_fraction, "test_fraction": settings.test_fraction}
        lengths = np.where(is_read, lengths, 0)
        split = split_documents(keys, lengths, parts, **fractions)
    if isinstance(split, WholeDocuments):
        return WholeDocuments(np.where(is_read, split.places, np.uint8(LEFT_OUT)))
    return split


def read_documents_of(
    keys: NDArray[np.uint64], settings: TextSettings, *, num_own: int
) -> NDArray[np.bool_]:
    """True for a document that is read: with `drop_duplicates`, the first of equal ones.

    Those of `val_path` are compared among themselves.
    """
    if not settings.drop_duplicates:
        return np.ones(len(keys), dtype=np.bool_)
    num_train = len(keys) - num_own
    return np.concatenate([_first_of_equal(part) for part in (keys[:num_train], keys[num_train:])])


def _first_of_equal(keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
    found = np.zeros(len(keys), dtype=np.bool_)
    found[np.unique(keys, return_index=True)[1]] = True
    return found


def split_documents(
    keys: NDArray[np.uint64],
    lengths: NDArray[np.int64],
    parts: NDArray[np.int64],
    *,
    val_fraction: float,
    test_fraction: float = 0.0,
) -> Split:
    """By whole documents if LEAST_DOCUMENTS have text; otherwise the end of each part is kept.

    Only a mix has several parts.
    """
    if np.count_nonzero(lengths) >= LEAST_DOCUMENTS:
        return WholeDocuments(by_hash(keys, lengths, val_fraction, test_fraction))
    totals = np.bincount(parts, weights=lengths).astype(np.int64).tolist()
    ends = np.cumsum(lengths)
    before = np.concatenate(([0], np.cumsum(totals)))
    cuts = [cuts_at(total, val_fraction, test_fraction) for total in totals]
    return Tails(ends - lengths - before[parts], lengths, cuts, parts)


def by_hash(
    keys: NDArray[np.uint64],
    lengths: NDArray[np.int64],
    val_fraction: float,
    test_fraction: float = 0.0,
) -> NDArray[np.uint8]:
    """The split of each document: in the order of the keys, until the fractions are reached.

    A document longer than the whole share is passed over, or it alone could be most of the text.
    Copies of a document that is not for training are left out.
    """
    places = np.full(len(keys), TRAIN, dtype=np.uint8)
    _, firsts = np.unique(keys, return_index=True)  # in the order of the keys
    total = int(lengths.sum())
    for split, fraction in ((TEST, test_fraction), (VAL, val_fraction)):
        free = firsts[places[firsts] == TRAIN]
        if fraction and len(free) > 1:
            places[_taken(free, lengths, fraction * total)] = split
    return without_copies(keys, places)


def _taken(order: NDArray[np.intp], lengths: NDArray[np.int64], wanted: float) -> NDArray[np.intp]:
    """The first of these documents that reach the wanted length; at least one, and never all."""
    fitting = order[lengths[order] <= max(wanted, 1)]
    if not len(fitting):
        fitting = order[np.argmin(lengths[order])][None]
    ends = np.cumsum(lengths[fitting])
    number = int(np.searchsorted(ends, wanted)) + 1
    return fitting[: min(number, len(order) - 1)]


def without_copies(keys: NDArray[np.uint64], places: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Leaves out training documents that also stand in another split."""
    kept = keys[(places == VAL) | (places == TEST)]
    copies = (places == TRAIN) & np.isin(keys, kept)
    return np.where(copies, np.uint8(LEFT_OUT), places).astype(np.uint8)


def own_validation(keys: NDArray[np.uint64], num_train: int) -> Split:
    """The documents from `num_train` on are for validation, and their copies are left out."""
    places = np.full(len(keys), TRAIN, dtype=np.uint8)
    places[num_train:] = VAL
    return WholeDocuments(without_copies(keys, places))


def last_documents(split: Split, number: int) -> list[int]:
    """The last document of each split, of so many documents; -1 for a split without any."""
    if isinstance(split, WholeDocuments):
        found = [np.flatnonzero(split.places == place) for place in SPLITS]
        return [int(one[-1]) if len(one) else -1 for one in found]
    last = [-1] * len(SPLITS)
    for document in range(number):
        for piece in split.pieces(document):
            last[piece.split] = document
    return last


def note_of_left_out(
    split: Split, keys: NDArray[np.uint64], settings: TextSettings, *, num_own: int
) -> str:
    """`, 2 duplicates left out, 1 copy of validation documents left out of training`, or less."""
    is_read = read_documents_of(keys, settings, num_own=num_own)
    duplicates, copies = int((~is_read).sum()), 0
    if isinstance(split, WholeDocuments):
        copies = int((is_read & (split.places == LEFT_OUT)).sum())
    note = f", {duplicates:,} duplicate{'s' * (duplicates > 1)} left out" * bool(duplicates)
    if copies:
        noun = "copies" if copies > 1 else "copy"
        note += f", {copies:,} {noun} of validation documents left out of training"
    return note
