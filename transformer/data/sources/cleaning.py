"""Leaves out lines and replaces characters, by how often they occur in a corpus. No torch."""

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from transformer.data.tokenizers.utf8 import as_bytes

REPLACEMENT = "\ufffd"
_AT_ONCE = 1 << 20  # characters that are counted at once
_CODE_POINTS = 0x110000
# Unicode has no plain form of these.
_PLAIN = str.maketrans("\u2018\u2019\u201c\u201d\u2013\u2014", "''\"\"--")


@dataclass(frozen=True)
class Cleaning:
    """What changes in each text of a corpus."""

    lines: NDArray[np.uint64]  # sorted hashes of the lines that are left out
    symbols: Mapping[int, str] = field(default_factory=dict)  # code points, and what replaces them

    def __call__(self, text: str) -> str:
        if len(self.lines):
            text = self._without_lines(text)
        return text.translate(self.symbols) if self.symbols else text

    def _without_lines(self, text: str) -> str:
        """A line goes with the line end behind it, so that each part of a text tells its own."""
        *lines, last = text.split("\n")
        dropped = self._left_out([*lines, last])
        if not dropped:
            return text
        kept = [line + "\n" for line in lines if line.strip() not in dropped]
        return "".join([*kept, "" if last.strip() in dropped else last])

    def keeps(self, lines: Sequence[str]) -> list[bool]:
        dropped = self._left_out(lines) if len(self.lines) else set()
        return [line.strip() not in dropped for line in lines]

    def _left_out(self, lines: Iterable[str]) -> set[str]:
        """Without the white space around them."""
        distinct = list(dict.fromkeys(map(str.strip, lines)))
        hashes = line_hashes(distinct)
        places = np.minimum(np.searchsorted(self.lines, hashes), len(self.lines) - 1)
        seen = self.lines[places] == hashes
        return {line for line, one in zip(distinct, seen, strict=True) if one}

    @property
    def note(self) -> str:
        """`, 2 recurring lines left out, 3 rare characters replaced`, or nothing."""
        parts = (
            (len(self.lines), "recurring line", "left out"),
            (len(self.symbols), "rare character", "replaced"),
        )
        return "".join(f", {n:,} {noun}{'s' * (n > 1)} {verb}" for n, noun, verb in parts if n)

    @property
    def digest(self) -> str:
        """Tells cleanings apart."""
        found = hashlib.sha256(self.lines.tobytes())
        found.update(repr(sorted(self.symbols.items())).encode())
        return found.hexdigest()


class LineCounts(NamedTuple):
    """The distinct lines of some texts: their hashes, sorted, and how often each occurs."""

    hashes: NDArray[np.uint64]
    numbers: NDArray[np.int64]

    def seen(self, times: int) -> NDArray[np.uint64]:
        return self.hashes[self.numbers >= times]


def line_hashes(lines: Iterable[str]) -> NDArray[np.uint64]:
    """64 bits of each line: a hundred million lines have two equal ones once in 3,700 corpora."""
    digests = (hashlib.blake2b(as_bytes(line), digest_size=8).digest() for line in lines)
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)


def count_lines(texts: Iterable[str]) -> LineCounts:
    """Without the white space around them, and without empty ones."""
    counts = Counter(chain.from_iterable(map(str.strip, text.split("\n")) for text in texts))
    counts.pop("", None)
    hashes = line_hashes(counts)
    order = np.argsort(hashes)
    return LineCounts(hashes[order], np.array([*counts.values()], dtype=np.int64)[order])


def added(counts: Iterable[LineCounts]) -> LineCounts:
    """The counts of several texts together."""
    hashes, numbers = map(np.concatenate, zip(*counts, strict=True))
    found, places = np.unique(hashes, return_inverse=True)
    return LineCounts(found, np.bincount(places, numbers, len(found)).astype(np.int64))


def count_symbols(texts: Iterable[str]) -> Counter[int]:
    """How often each code point occurs in the texts."""
    counts = np.zeros(_CODE_POINTS, np.int64)
    waiting, length = [], 0
    for text in chain(texts, [None]):
        if text is not None:
            waiting.append(text)
            length += len(text)
        if text is None or length >= _AT_ONCE:
            _count(counts, "".join(waiting))
            waiting, length = [], 0
    found = np.flatnonzero(counts)
    return Counter(dict(zip(found.tolist(), counts[found].tolist(), strict=True)))


def _count(counts: NDArray[np.int64], text: str) -> None:
    for at in range(0, len(text), _AT_ONCE):
        data = text[at : at + _AT_ONCE].encode("utf-32-le", "surrogatepass")
        found = np.bincount(np.frombuffer(data, "<u4"))
        counts[: len(found)] += found


def replacements(counts: Mapping[int, int], fewest: int) -> dict[int, str]:
    """What replaces each character that occurs fewer times: its plain form, such as e for é, if
    all of it occurs often enough, otherwise U+FFFD.

    White space stays, and so do bytes that are no UTF-8.
    """
    often = {chr(point) for point, number in counts.items() if number >= fewest}
    found = {}
    for point, number in counts.items():
        symbol = chr(point)
        is_byte = 0xD800 <= point <= 0xDFFF
        if number < fewest and symbol != REPLACEMENT and not symbol.isspace() and not is_byte:
            plain = _plain_form(symbol)
            found[point] = plain if set(plain) <= often else REPLACEMENT
    return found


def _plain_form(symbol: str) -> str:
    """Without marks; nothing for a mark itself, and for a character without width."""
    whole = unicodedata.normalize("NFKD", symbol.translate(_PLAIN))
    return "".join(
        part
        for part in whole
        if not unicodedata.combining(part) and unicodedata.category(part) != "Cf"
    )


def cleaning_of(
    texts: list[str], *, drop_lines_seen: int | None, replace_rare: int | None
) -> Cleaning:
    """Counted over all these texts."""
    none = np.zeros(0, np.uint64)
    lines = count_lines(texts).seen(drop_lines_seen) if drop_lines_seen else none
    return Cleaning(lines, replacements(count_symbols(texts), replace_rare) if replace_rare else {})
