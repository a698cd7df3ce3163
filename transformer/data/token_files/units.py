"""Cuts files into units of work, and reads the texts of one unit. Imports no torch."""

import io
import os
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

from transformer.data.sources.compression import endings, opened
from transformer.data.sources.encodings import decoded
from transformer.data.sources.faults import Faults
from transformer.data.sources.formats import RECORDS, Record, is_plain, json_lines
from transformer.data.sources.reading import checked, naming
from transformer.data.sources.settings import Reading

LF, CR, RAW = "lf", "cr", "raw"
UNIT_BYTES = 32_000_000
_LOOKED_AT = 1 << 20  # bytes after a unit's end, in which a safe place is searched
_PACKING = 8  # a packed text is unpacked in blocks if it may be longer than a unit
_LINES = (".jsonl", ".ndjson")


class Unit(NamedTuple):
    """A file, or bytes of it from `start` to `end`; `end` None: to its end."""

    file: str
    part: int  # of the data_path
    start: int = 0
    end: int | None = None


class Segment(NamedTuple):
    """A whole document of a unit, or a part of one; `ends` if it reaches the document's end."""

    text: str
    ends: bool
    record: str = ""  # within its file, such as `line 3`


def units_of(file: str, part: int, reading: Reading) -> list[Unit]:
    """One unit, or several for a long file of plain lines in UTF-8."""
    size = os.path.getsize(file)
    has_records = reading.text_field is not None
    has_lines = has_records and endings(file) in [(ending, "") for ending in _LINES]
    if not (is_plain(file) or has_lines) or size <= UNIT_BYTES or reading.encoding != "utf-8":
        return [Unit(file, part)]
    starts = [0]
    with open(file, "rb") as stream:
        while (at := starts[-1] + UNIT_BYTES) < size:
            stream.seek(at)
            border = at + (_rest_of_line(stream) if has_lines else _border(stream.read(_LOOKED_AT)))
            if border >= size:
                break
            starts.append(border)
    ends = [*starts[1:], None]
    return [Unit(file, part, start, end) for start, end in zip(starts, ends, strict=True)]


def _rest_of_line(stream: BinaryIO) -> int:
    """The bytes up to behind the next line end, or to the end of the file; a record is a line."""
    num_bytes = 0
    while data := stream.read(_LOOKED_AT):
        if end := data.find(b"\n") + 1:
            return num_bytes + end
        num_bytes += len(data)
    return num_bytes


def _border(data: bytes) -> int:
    """Behind the first line end before a letter or digit of ASCII: no token crosses such a place.

    Without one, behind the first line end; without a line, before the first whole character.
    """
    at = data.find(b"\n") + 1
    first = at
    while at and at < len(data) and not (data[at] < 128 and chr(data[at]).isalnum()):
        at = data.find(b"\n", at) + 1
    place = at or first
    while not first and place < len(data) and data[place] & 0xC0 == 0x80:
        place += 1
    return place


def is_ranged(unit: Unit) -> bool:
    return unit.start > 0 or unit.end is not None


def is_in_blocks(unit: Unit, reading: Reading) -> bool:
    """Whether a unit is a part of a plain text, or a long one that is packed."""
    ending, packed = endings(unit.file)
    if ending in RECORDS or reading.encoding != "utf-8":
        return False
    return is_ranged(unit) or (bool(packed) and os.path.getsize(unit.file) > UNIT_BYTES / _PACKING)


def segments(unit: Unit, reading: Reading, faults: Faults, ends: str) -> Iterator[Segment]:
    """The texts of a unit; `ends` are the line ends of its file: LF, CR, or RAW for any bytes.

    Raises: UserError for a file or a record that cannot be read, unless these are skipped.
    """
    if not is_in_blocks(unit, reading):
        for record in _records(unit, reading, faults):
            if text := reading.cleaned(record.text):
                yield Segment(text, True, record.place)
        return
    with naming(unit.file), opened(unit.file) as stream:
        stream.seek(unit.start)
        blocks = (
            _blocks(stream) if unit.end is None else [(stream.read(unit.end - unit.start), False)]
        )
        for number, (data, is_last) in enumerate(blocks):
            text = _text_of(data, unit, ends, is_first=number == unit.start == 0)
            yield Segment(reading.cleaned(text), is_last)


def _blocks(stream: Any) -> Iterator[tuple[bytes, bool]]:
    """Bytes up to a safe place, and whether they are the last ones."""
    rest = b""
    while True:
        data = rest + stream.read(UNIT_BYTES)
        behind = stream.read(_LOOKED_AT)
        if not behind:
            yield data, True
            return
        border = _border(behind)
        yield data + behind[:border], False
        rest = behind[border:]


def _text_of(data: bytes, unit: Unit, ends: str, *, is_first: bool) -> str:
    if ends == RAW:
        return data.decode("utf-8", "surrogateescape")
    text = decoded(data, unit.file)
    if is_first:
        text = text.removeprefix("\ufeff")
    text = text.replace("\r\n", "\n")
    return text.replace("\r", "\n") if ends == CR else text


def _records(unit: Unit, reading: Reading, faults: Faults) -> Iterator[Record]:
    """Of a part of a file, whole lines; their numbers in messages count from the unit's start."""
    if not is_ranged(unit):
        yield from checked(unit.file, reading, faults)
        return
    with opened(unit.file) as stream:
        stream.seek(unit.start)
        data = stream.read(-1 if unit.end is None else unit.end - unit.start)
    yield from json_lines(io.BytesIO(data), unit.file, reading, faults, unit.start)
