"""Encodes a long text by looking up each of its distinct units once. Imports no torch."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from operator import add
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from transformer.data.tokenizers.splitting import BLANKS, blocks, code_points, unit_starts
from transformer.data.tokenizers.utf8 import as_bytes
from transformer.system.cores import available_cores
from transformer.system.progress import progress

_AT_ONCE = 1_000_000  # characters; NumPy needs about 100 bytes of memory for each
_MOST_KNOWN = 1_000_000  # units, of about 150 bytes
_JOINED = 256  # units in one text for the library, which takes its time for each text
# Stands before a unit that does not begin with a blank, so that it follows a line end: then the
# unit before it and the unit itself are cut as if they stood alone.
_BETWEEN = " a\n"
_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd

Encode = Callable[[list[str]], list[NDArray[np.int32]]]


class DistinctUnits:
    """Encodes texts, and remembers the ids of their units for the next text.

    Args:
        encode: the ids of each of some texts.
        num_bytes: how many bytes of UTF-8 each id stands for.
    """

    def __init__(self, encode: Encode, num_bytes: NDArray[np.int64]) -> None:
        self._library = encode, num_bytes
        self._known = _KnownUnits(*self._library)
        self._lock = Lock()

    def encode(self, text: str) -> NDArray[np.int32]:
        """The ids of a text; the parts of a long one are encoded at the same time."""
        number = 1 if len(text) <= _AT_ONCE else cores_for_a_text()
        if number == 1:
            found = list(map(self._ids, blocks(text, _AT_ONCE)))
        else:
            with progress("encoding", len(text), " characters") as bar:
                found = self._at_the_same_time(text, number, bar)
        return np.concatenate([np.zeros(0, np.int32), *found])

    def _at_the_same_time(self, text: str, number: int, bar: Any) -> list[NDArray[np.int32]]:
        parts, found = list(blocks(text, _AT_ONCE)), []
        with ThreadPoolExecutor(number) as pool:
            for part, ids in zip(parts, pool.map(self._ids, parts), strict=True):
                found.append(ids)
                bar.update(len(part))
        return found

    def _ids(self, block: str) -> NDArray[np.int32]:
        bounds, numbers = distinct(code_points(block))
        units = [block[start:end] for start, end in zip(*bounds.T.tolist(), strict=True)]
        with self._lock:
            if len(self._known) > _MOST_KNOWN:
                self._known = _KnownUnits(*self._library)
            pieces = self._known.pieces_of(units)
        return pieces.joined(numbers)


def cores_for_a_text() -> int:
    """One in a process beside others, which `TOKENIZERS_PARALLELISM=false` tells, as the library's
    own threads."""
    alone = os.environ.get("TOKENIZERS_PARALLELISM", "").lower() not in ("false", "0", "off")
    return available_cores() if alone else 1


def distinct(points: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Start and end of each distinct unit (where it stands first), and for each unit which it is.

    Now and then units that are equal count as distinct.
    """
    starts = unit_starts(points)
    bounds = np.stack((starts, np.append(starts[1:], len(points))), axis=1)
    lengths = bounds[:, 1] - starts
    _, first, numbers = np.unique(_hashes(points, bounds), return_index=True, return_inverse=True)
    if np.array_equal(lengths[first][numbers], lengths):
        moved = np.repeat(starts[first][numbers] - starts, lengths)
        if np.array_equal(points[np.arange(len(points)) + moved], points):
            return bounds[first], numbers
    return bounds, np.arange(len(starts))  # two different units have the same hash


def _hashes(points: NDArray[np.uint32], bounds: NDArray[np.int64]) -> NDArray[np.uint64]:
    """A polynomial of each unit's characters, modulo 2^64 (Karp and Rabin 1987)."""
    powers = np.multiply.accumulate(np.full(len(points) + 1, _FACTOR))
    sums = np.zeros(len(points) + 1, np.uint64)
    np.cumsum((points + np.uint64(1)) * powers[1:], out=sums[1:])
    start, end = bounds.T
    return (sums[end] - sums[start]) * powers[len(points) - start]


class _Pieces(NamedTuple):
    """The ids of some units, each anywhere in one array."""

    ids: NDArray[np.int32]
    bounds: NDArray[np.int64]  # (units, 2): where the ids of a unit begin and end

    def joined(self, numbers: NDArray[np.int64]) -> NDArray[np.int32]:
        """The ids of the units with these numbers; without a loop over them."""
        start, end = self.bounds[numbers].T
        ends = np.cumsum(end - start)
        places = np.arange(ends[-1]) - np.repeat(ends - end, end - start)
        return self.ids[places]


class _KnownUnits:
    def __init__(self, encode: Encode, num_bytes: NDArray[np.int64]) -> None:
        self._encode, self._num_bytes = encode, num_bytes
        self._numbers: dict[str, int] = {}
        self._pieces = _Pieces(np.zeros(0, np.int32), np.zeros((0, 2), np.int64))

    def __len__(self) -> int:
        return len(self._numbers)

    def pieces_of(self, units: list[str]) -> _Pieces:
        """Encodes those units that are new."""
        new = list(dict.fromkeys(units).keys() - self._numbers.keys())
        if new:
            self._add(new)
        numbers = np.fromiter(map(self._numbers.__getitem__, units), np.int64, count=len(units))
        return _Pieces(self._pieces.ids, self._pieces.bounds[numbers])

    def _add(self, new: list[str]) -> None:
        white = list(filter(str.isspace, new))  # would join with what stands beside it
        words = [unit for unit in new if not unit.isspace()] if white else new
        before = ["" if word[0] in BLANKS else _BETWEEN for word in words] + [""] * len(white)
        texts = list(map(add, before, words + white))
        joined = [
            "".join(texts[at : min(at + _JOINED, len(words))])
            for at in range(0, len(words), _JOINED)
        ]
        ids = np.concatenate(self._encode(joined + white))
        ends = np.cumsum(list(map(len, map(as_bytes, texts))))
        starts = np.append(0, ends[:-1]) + list(map(len, before))
        ends_of_ids = np.cumsum(self._num_bytes[ids])
        bounds = np.searchsorted(ends_of_ids, np.stack((starts, ends), axis=1), side="right")
        known = self._pieces
        self._pieces = _Pieces(
            np.concatenate((known.ids, ids)),
            np.concatenate((known.bounds, bounds + len(known.ids))),
        )
        self._numbers |= {unit: at for at, unit in enumerate(words + white, start=len(self))}
