"""Finds the passages of some texts that stand verbatim in a corpus. Imports no torch.

The texts are held in memory, and the corpus is read once, a few MB at a time. A hash of each piece
of the corpus is looked up among those of the texts. Each hit is compared character by character
and extended to both sides, so no passage depends on a hash.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from transformer.data.placed_texts import PlacedText
from transformer.data.text.pieces import common_before, common_from, piece_hashes
from transformer.data.tokenizers.characters import code_points

# Lone surrogates that no decoded text has: a passage ends at them.
_END_OF_TEXT, _END_OF_DOCUMENT = "\ud801", "\ud802"
_AT_ONCE = 1 << 20  # characters of the corpus in memory
_BLOCK = 1 << 15  # characters whose hashes are made at once: few enough for the processor's cache
_ROOM = 16  # places of the table for each piece
_LEAST_BITS, _MOST_BITS = 12, 26  # of the table


class Place(NamedTuple):
    file: str
    record: str
    line: int


class Passage(NamedTuple):
    """Characters of a text, and where the corpus has the same; no other passage contains it."""

    start: int
    length: int
    place: Place

    @property
    def end(self) -> int:
        return self.start + self.length


def find_copied(
    texts: Sequence[str], sources: Iterable[PlacedText], least: int
) -> list[list[Passage]]:
    """The passages of each text that the sources have, of at least so many characters.

    All longest ones in order; they may overlap. No passage crosses the border of two documents.
    """
    known = KnownPassages(texts, least)
    reader = _Reader(known)
    for source in sources:
        reader.add(source)
    reader.scan(is_last=True)
    return [known.passages(number) for number in range(len(texts))]


def spans(passages: Iterable[Passage]) -> list[tuple[int, int]]:
    """The start and end of each run of characters in passages, with overlapping ones joined."""
    found: list[tuple[int, int]] = []
    for passage in passages:
        if found and passage.start < found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], passage.end)
        else:
            found.append((passage.start, passage.end))
    return found


class KnownPassages:
    """What is known of the texts, which are joined here, so that a place is one number.

    `reach` is, for each place, the end of the farthest passage that begins there or before; the
    place itself if there is none. A longer passage can only be found from a piece that is in no
    passage, or that is the last one before another passage begins: only these are `wanted`.
    """

    def __init__(self, texts: Sequence[str], least: int) -> None:
        self.least = least
        self.longest = max(map(len, texts), default=0)
        self._text = "".join(text + _END_OF_TEXT for text in texts)
        lengths = [len(text) for text in texts]
        self._starts = list(accumulate((length + 1 for length in lengths), initial=0))
        ranges = [
            np.arange(start, start + max(0, length - least + 1))
            for start, length in zip(self._starts, lengths, strict=False)
        ]
        pieces = np.concatenate([np.zeros(0, np.int64), *ranges])
        hashes = piece_hashes(self._text, least, 32)[pieces] if len(pieces) else np.zeros(0, "u4")
        self.hashes, groups = np.unique(hashes, return_inverse=True)
        # The places of each hash, one group after the other.
        self._places = pieces[np.argsort(groups, kind="stable")]
        self.num_wanted = np.bincount(groups, minlength=len(self.hashes))
        self._firsts = np.concatenate(([0], np.cumsum(self.num_wanted)))
        self._group_of = np.full(len(self._text), -1)
        self._group_of[pieces] = groups
        self._is_wanted = self._group_of >= 0
        self._reach = np.arange(len(self._text) + 1)
        self._match_of = np.full(len(self._text), -1)
        self._cached: dict[int, dict[int, dict[str, list[int]]]] = {}
        self.matches: list[Place] = []  # filled in the order in which they are found
        self._num_matches = 0

    def wanted(self, group: int) -> dict[int, dict[str, list[int]]]:
        """By length, what the corpus must have to make a longer passage, and the places of it."""
        if (found := self._cached.get(group)) is not None:
            return found
        found = self._cached[group] = {}
        for place in self._places[self._firsts[group] : self._firsts[group + 1]].tolist():
            if self._is_wanted[place]:
                length = max(int(self._reach[place]) - place, self.least - 1) + 1
                by_text = found.setdefault(length, {})
                by_text.setdefault(self._text[place : place + length], []).append(place)
        return found

    def extend(self, place: int, source: str, at: int) -> int | None:
        """Notes the longest passage around two equal places; gives its start in the source.

        None if it is known already.
        """
        if not self._is_wanted[place]:
            return None
        before = common_before(self._text, place, source, at)
        start = place - before
        end = place + common_from(self._text, place, source, at)
        if self._reach[start] >= end:
            return None
        last = start + int(np.searchsorted(self._reach[start:end], end, side="right"))
        self._reach[start:last] = end
        self._match_of[start:last] = self._num_matches
        self._num_matches += 1
        self._want(max(start - 1, 0), last)
        return at - before

    def _want(self, first: int, last: int) -> None:
        """Finds anew which of the pieces in a range are wanted."""
        reach, groups = self._reach[first : last + 1], self._group_of[first:last]
        found = reach[:-1] - np.arange(first, last) < self.least
        found |= reach[1:] != reach[:-1]
        found &= groups >= 0
        change = found.astype(np.int64) - self._is_wanted[first:last]
        self._is_wanted[first:last] = found
        np.add.at(self.num_wanted, groups[change != 0], change[change != 0])
        for group in set(groups.tolist()):
            self._cached.pop(group, None)

    def passages(self, number: int) -> list[Passage]:
        start = self._starts[number]
        own = self._match_of[start : self._starts[number + 1]]
        begins = np.flatnonzero((own >= 0) & (own != np.concatenate(([-1], own[:-1]))))
        return [
            Passage(at, int(self._reach[start + at]) - start - at, self.matches[own[at]])
            for at in begins.tolist()
        ]


class _Reader:
    """Reads the corpus. As a passage is at most as long as a text, the end of what was read waits
    for what follows, and the text before it stays.
    """

    def __init__(self, known: KnownPassages) -> None:
        self._known = known
        bits = (_ROOM * len(known.hashes)).bit_length()
        self._shift = 32 - min(max(bits, _LEAST_BITS), _MOST_BITS)
        self._table = np.zeros(1 << (32 - self._shift), dtype=np.bool_)
        self._table[known.hashes >> np.uint32(self._shift)] = True
        self._parts: list[str] = []
        self._length = self._scanned = 0
        self._sources: list[tuple[int, PlacedText]] = []  # with their starts in the text

    def add(self, source: PlacedText) -> None:
        for part in _short(source):
            if not part.continues:
                self._parts.append(_END_OF_DOCUMENT)
                self._length += 1
            self._sources.append((self._length, part))
            self._parts.append(part.text)
            self._length += len(part.text)
            if self._length >= _AT_ONCE + 2 * self._known.longest:
                self.scan()

    def scan(self, *, is_last: bool = False) -> None:
        text = "".join(self._parts)
        longest = self._known.longest
        end = len(text) if is_last else max(self._scanned, len(text) - longest)
        starts: list[int] = []
        for at, group in self._hits(text, end):
            for length, places in self._known.wanted(group).items():
                for place in places.get(text[at : at + length], ()):
                    start = self._known.extend(place, text, at)
                    starts += [] if start is None else [start]
        self._known.matches += self._places(text, starts)
        kept = max(0, end - longest)
        self._parts, self._length, self._scanned = [text[kept:]], len(text) - kept, end - kept
        self._sources = [
            _without(source, kept - start) if start < kept else (start - kept, source)
            for start, source in self._sources
            if start + len(source.text) > kept
        ]

    def _places(self, text: str, found: Sequence[int]) -> list[Place]:
        if not found:
            return []
        line_ends = np.flatnonzero(code_points(text) == ord("\n"))
        starts = [start for start, _ in self._sources]
        sources = [self._sources[bisect_right(starts, at) - 1] for at in found]
        before = np.searchsorted(line_ends, [start for start, _ in sources])
        lines = np.searchsorted(line_ends, found) - before
        return [
            Place(source.file, source.record, source.line + line)
            for (_, source), line in zip(sources, lines.tolist(), strict=True)
        ]

    def _hits(self, text: str, end: int) -> Iterator[tuple[int, int]]:
        """Places of the corpus up to `end` with the hash of a piece that is still wanted then."""
        known = self._known
        if not len(known.hashes):
            return
        for start in range(self._scanned, end, _BLOCK):
            last = min(start + _BLOCK, end) + known.least - 1
            hashes = piece_hashes(text[start:last], known.least, 32)
            near = np.flatnonzero(self._table.take(hashes >> np.uint32(self._shift)))
            groups = np.searchsorted(known.hashes, hashes[near])
            groups = np.minimum(groups, len(known.hashes) - 1)
            hit = (known.hashes[groups] == hashes[near]) & (known.num_wanted[groups] > 0)
            found: NDArray[np.int64] = near[hit] + start
            for at, group in zip(found.tolist(), groups[hit].tolist(), strict=True):
                if known.num_wanted[group]:  # unless a passage found meanwhile has it
                    yield at, group


def _without(source: PlacedText, length: int) -> tuple[int, PlacedText]:
    """A source without its first characters, at the start of a text."""
    line = source.line + source.text.count("\n", 0, length)
    return 0, source._replace(text=source.text[length:], line=line)


def _short(source: PlacedText) -> Iterator[PlacedText]:
    """A long text in parts, so that counting its lines is short."""
    yield source._replace(text=source.text[:_AT_ONCE])
    line = source.line
    for at in range(_AT_ONCE, len(source.text), _AT_ONCE):
        line += source.text.count("\n", at - _AT_ONCE, at)
        yield source._replace(text=source.text[at : at + _AT_ONCE], line=line, continues=True)
