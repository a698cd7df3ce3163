"""A document, or the part of it that was looked at. Imports no torch."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from transformer.data.sources.compression import opened
from transformer.data.sources.encodings import proposed
from transformer.data.sources.settings import Reading, shown
from transformer.inspection.corpus.findings import NAMED
from transformer.system.files import as_lines

_BLOCK = 1 << 22
_SURE = 20  # bytes from which charset-normalizer tells an encoding; few are likely cp1252
_MISFIT = re.compile("[\udc80-\udcff]")  # Python's surrogateescape
# What cp1252 makes of a byte; of the five that it does not have, Latin-1.
HIGH = "".join(
    bytes([byte]).decode("latin-1" if byte in (0x81, 0x8D, 0x8F, 0x90, 0x9D) else "cp1252")
    for byte in range(0x80, 0x100)
)
_AS_CP1252 = {0xDC80 + place: symbol for place, symbol in enumerate(HIGH)}


class Misfit(NamedTuple):
    """A byte that is no UTF-8, and the line in which it stands."""

    line: int
    byte: int


class Misfits(NamedTuple):
    number: int
    first: list[Misfit]
    num_others: int  # characters beyond ASCII that are UTF-8
    encoding: str | None = None  # of the whole text, if most of it is no UTF-8


@dataclass(frozen=True)
class Sample:
    """`start` is the byte of the file at which the text begins."""

    text: str
    file: str
    place: str = ""  # of a record within its file, such as `line 3`
    part: int = 0  # of the data_path
    start: int = 0
    is_whole: bool = True
    num_cr: int = 0  # line ends that were CR alone, and are read as LF
    misfits: Misfits | None = None

    @property
    def name(self) -> str:
        return shown(self.file) + (f", {self.place}" if self.place else "")

    def at(self, position: int) -> str:
        """The file and the line of a character."""
        return self.in_line(self.text.count("\n", 0, position) + 1)

    def in_line(self, line: int) -> str:
        if self.start:
            line += lines_before(self.file, self.start, b"\r" if self.num_cr else b"\n")
        return f"{self.name}, line {line:,}" + (" of its text" if self.place else "")


@lru_cache(maxsize=64)
def lines_before(file: str, start: int, line_end: bytes) -> int:
    count, left = 0, start
    with opened(file) as stream:
        while left and (block := stream.read(min(left, _BLOCK))):
            count += block.count(line_end)
            left -= len(block)
    return count


def sample_of(data: bytes, reading: Reading, **where: Any) -> Sample:
    """Of plain text. Bytes that are no UTF-8 are counted, and read as another encoding would."""
    if reading.encoding != "utf-8":
        raw = data.decode(reading.encoding, "replace")
    else:
        raw = data.decode("utf-8", "surrogateescape")
    read = as_lines(raw)
    num_cr = read.num_carriage_returns - raw.count("\r\n")
    text, misfits = _without_misfits(read.text, data)
    return Sample(text, num_cr=num_cr, misfits=misfits, **where)


def _without_misfits(text: str, data: bytes) -> tuple[str, Misfits | None]:
    found = [] if text.isascii() else [match.start() for match in _MISFIT.finditer(text)]
    if not found:
        return text, None
    first = [Misfit(text.count("\n", 0, at) + 1, ord(text[at]) - 0xDC00) for at in found[:NAMED]]
    num_others = len(text) - len(text.encode("ascii", "ignore")) - len(found)
    if len(found) <= num_others:
        return text.translate(_AS_CP1252), Misfits(len(found), first, num_others)
    at = len(text[: found[0]].encode("utf-8", "surrogateescape"))
    encoding = proposed(data, at) if len(found) >= _SURE else "cp1252"
    if encoding is None:
        return text.translate(_AS_CP1252), Misfits(len(found), first, num_others)
    whole = as_lines(data.decode(encoding, "replace")).text
    return whole, Misfits(len(found), first, num_others, encoding)
