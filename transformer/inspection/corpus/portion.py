"""Reads a corpus, or of a large one a part that is spread over its files. Imports no torch."""

import io
import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from transformer.data.sources.cleaning import count_symbols
from transformer.data.sources.compression import endings, opened
from transformer.data.sources.faults import BadFile, Faults
from transformer.data.sources.formats import RECORDS, Record, json_lines, reader_of
from transformer.data.sources.reading import all_files, checked, naming
from transformer.data.sources.settings import Reading, in_words, listed, shown
from transformer.data.text.settings import TextSettings
from transformer.inspection.corpus.fingerprints import Fingerprints, fingerprints
from transformer.inspection.corpus.sample import Sample, sample_of
from transformer.system.errors import UserError
from transformer.system.progress import progress

MOST_BYTES = 64_000_000  # of text that is held
_LEAST_WINDOW = 64_000  # bytes of a file that are looked at, if any are
_MOST_PACKED = 8  # times the bytes of a file that is read as a whole
_INSIDE = bytes(range(0x80, 0xC0))  # bytes of a character of UTF-8 behind its first one


@dataclass(frozen=True)
class Portion:
    """What was looked at; `is_whole` if that is the whole corpus."""

    name: str
    settings: TextSettings
    files: Sequence[str]
    num_bytes: int  # of all files
    samples: Sequence[Sample]
    num_own: int  # samples of `val_path`, which come last
    is_whole: bool
    faults: Faults

    @cached_property
    def symbols(self) -> dict[str, int]:
        """How often each symbol occurs, the most frequent first."""
        counts = count_symbols(sample.text for sample in self.samples)
        return {
            chr(point): counts[point] for point in sorted(counts, key=lambda n: (-counts[n], n))
        }

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        return np.array([len(sample.text) for sample in self.samples], dtype=np.int64)

    @cached_property
    def fingerprints(self) -> list[Fingerprints]:
        return [fingerprints(sample.text) for sample in self.samples]

    @property
    def num_documents(self) -> int | None:
        """None if only a part of a file of records was looked at."""
        if self.is_whole:
            return len(self.samples)
        reading = self.settings.reading()
        return len(self.files) if all(_is_plain(file, reading) for file in self.files) else None


def read_portion(
    data_path: str | list[str], settings: TextSettings, most: int = MOST_BYTES
) -> Portion:
    """Raises: UserError for a path that names no file, and if there is no text at all."""
    reading = settings.reading()
    num_parts = len(listed(data_path))
    parts, _ = all_files(data_path, settings.val_path, reading, build=False)
    files = [(number, file) for number, found in enumerate(parts) for file in found]
    sizes = [_size(file) for _, file in files]
    samples: list[Sample] = []
    faults, is_whole = Faults(skip=True), True
    with progress("reading", sum(sizes)) as bar:
        for (part, file), size, share in zip(
            files, sizes, _shares(files, sizes, most), strict=True
        ):
            found = _look_at(file, part, size, share, reading, faults) if share else None
            is_whole &= found is not None and found[1]
            samples += found[0] if found else []
            bar.update(size)
    if not samples:
        reasons = faults.files + [faults.first_record] * bool(faults.num_records)
        why = f": {reasons[0]}" if reasons else "; give files with text"
        raise UserError(f"{in_words(data_path)}: has no text{why}")
    num_own = sum(sample.part == num_parts for sample in samples)
    named = [file for _, file in files]
    return Portion(
        in_words(data_path), settings, named, sum(sizes), samples, num_own, is_whole, faults
    )


def _size(file: str) -> int:
    try:
        return os.path.getsize(file)
    except OSError:
        return 0  # reading it will raise the error


def _shares(files: Sequence[tuple[int, str]], sizes: Sequence[int], most: int) -> list[int]:
    """The bytes of text to hold of each file; more than a file has if there is room for all.

    In a large corpus, files in the order of a hash of their names, so that it is the same each
    time, have windows until there is no more room.
    """
    total = max(sum(sizes), 1)
    shares = [max(1, most * size // total) for size in sizes]
    if total <= most:
        return shares
    order = sorted(range(len(files)), key=lambda n: zlib.crc32(shown(files[n][1]).encode()))
    left = most
    for number in order:
        window = max(shares[number], min(sizes[number], _LEAST_WINDOW))
        shares[number] = min(window, max(left, 0))
        left -= window
    return shares


def _look_at(
    file: str, part: int, size: int, share: int, reading: Reading, faults: Faults
) -> tuple[list[Sample], bool]:
    """The texts of a file, and whether these are all; nothing of a file that cannot be read."""
    own = Faults(skip=True)
    try:
        if _is_plain(file, reading):
            found, is_whole = _plain(file, part, size, share, reading)
        else:
            found, is_whole = _records(file, part, size, share, reading, own)
    except BadFile as error:
        faults.files.append(str(error))
        return [], True
    faults.add(own)
    return found, is_whole


def _is_plain(file: str, reading: Reading) -> bool:
    return reader_of(file, reading) is not RECORDS.get(endings(file)[0])


def _plain(
    file: str, part: int, size: int, share: int, reading: Reading
) -> tuple[list[Sample], bool]:
    start = 0
    if not endings(file)[1] and share < size and not reading.is_wide:
        start = _start_of(file, size, share)
    with naming(file):
        start, data, is_whole = _window(file, start, share)
    if not data:
        return [], is_whole
    sample = sample_of(data, reading, file=file, part=part, start=start, is_whole=is_whole)
    return [sample] if sample.text else [], is_whole


def _records(
    file: str, part: int, size: int, share: int, reading: Reading, faults: Faults
) -> tuple[list[Sample], bool]:
    """Of a long file of lines, those of a window; of another, the first ones."""
    samples: list[Sample] = []
    records, is_whole = checked(file, reading, faults), True
    ending, packed = endings(file)
    if ending in (".jsonl", ".ndjson") and not packed and share < size:
        records, is_whole = _records_of_window(file, size, share, reading, faults), False
    elif ending not in (".jsonl", ".ndjson", ".csv", ".tsv", ".parquet") and (
        size > _MOST_PACKED * share
    ):
        return [], False  # such a file can only be read as a whole
    left = share
    for record in records:
        if left <= 0:
            return samples, False
        if record.text:
            samples.append(Sample(record.text, file, record.place, part))
            left -= len(record.text)
    return samples, is_whole


def _records_of_window(
    file: str, size: int, share: int, reading: Reading, faults: Faults
) -> Iterator[Record]:
    start, data, _ = _window(file, _start_of(file, size, share), share)
    yield from json_lines(io.BytesIO(data), file, reading, faults, start)


def _start_of(file: str, size: int, share: int) -> int:
    """A byte of the file, by a hash of its name."""
    return (size - share) * zlib.crc32(shown(file).encode()) >> 32


def _window(file: str, start: int, share: int) -> tuple[int, bytes, bool]:
    """Whole lines of at most so many bytes: where they start, and whether this is the whole file.

    Without a line end, whole characters of UTF-8.
    """
    with opened(file) as stream:
        stream.seek(start)
        data = stream.read(share)
        is_whole = start == 0 and not stream.read(1)
    if is_whole:
        return 0, data, True
    first = data.find(b"\n") + 1 if start else 0
    if start and not first:
        first = len(data) - len(data.lstrip(_INSIDE))
    last = data.rfind(b"\n") + 1
    if last <= first:
        last = len(data.rstrip(_INSIDE))
        last -= last > first and data[last - 1] >= 0xC0  # the first byte of a longer character
    return start + first, data[first:last], False
