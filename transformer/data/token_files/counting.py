"""Counts lines and characters of a large corpus, for its cleaning. Imports no torch."""

import hashlib
import json
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from transformer.data.sources.cleaning import (
    Cleaning,
    LineCounts,
    added,
    count_lines,
    count_symbols,
    replacements,
)
from transformer.data.sources.faults import BadFile, Faults
from transformer.data.sources.settings import Reading
from transformer.data.text.settings import TextSettings
from transformer.data.token_files.index import writing
from transformer.data.token_files.listing import Listing
from transformer.data.token_files.survey import line_ends
from transformer.data.token_files.units import Unit, segments
from transformer.data.token_files.workers import in_parallel
from transformer.system.cache import cache_folder, kept

_RANGES = 64  # of the hashes, which are added up one after the other
_AT_ONCE = 8_000_000  # characters
_MOST_KEPT = 16


def with_cleaning(
    reading: Reading, listing: Listing, settings: TextSettings, cache_dir: str | None
) -> tuple[Reading, Cleaning | None]:
    """The way to read a corpus whose lines and characters were counted first.

    What was counted is kept in the cache folder while no file changes.
    """
    if not settings.counts:
        return reading, None
    folder = cache_folder(cache_dir) / "cleanings"
    question = json.dumps([listing.question(reading), settings.as_counted])
    path = folder / f"{hashlib.sha256(question.encode()).hexdigest()[:32]}.npz"

    def make() -> Cleaning:
        with writing(folder), tempfile.TemporaryDirectory(dir=folder) as counted:
            return _counted(listing, reading, settings, Path(counted))

    cleaning = kept(path, make, _read, _write, most_files=_MOST_KEPT)
    return replace(reading, cleaning=cleaning), cleaning


def _counted(listing: Listing, reading: Reading, settings: TextSettings, folder: Path) -> Cleaning:
    lines, rare = settings.as_counted.values()
    shared = (folder, reading, bool(lines), bool(rare))
    jobs = list(enumerate(listing.units))
    symbols: Counter[int] = Counter()
    for found in in_parallel(_count_file, jobs, listing.sizes, shared, "counting"):
        symbols.update(found)
    dropped = np.zeros(0, np.uint64)
    if files := sorted(folder.iterdir()):
        dropped = np.concatenate([one.seen(lines or 0) for one in _by_range(files)])
    return Cleaning(dropped, replacements(symbols, rare) if rare else {})


def _count_file(
    job: tuple[int, list[Unit]],
    folder: Path,
    reading: Reading,
    counts_lines: bool,
    counts_symbols: bool,
) -> Counter[int]:
    """Writes how often each line stands in each unit; gives how often each character does."""
    number, units = job
    faults = Faults(reading.skip_bad_files)
    symbols: Counter[int] = Counter()
    lines = []
    try:
        ends = line_ends(units, reading)
        for texts in _groups(units, reading, faults, ends):
            if counts_symbols:
                symbols.update(count_symbols(texts))
            if counts_lines:
                lines.append(count_lines(texts))
    except BadFile as error:
        faults.file(error)
        return Counter()
    if lines:
        found = added(lines)
        # Of one type: with int64, uint64 would become float64.
        np.save(folder / f"{number:06}.npy", [found.hashes, found.numbers.astype(np.uint64)])
    return symbols


def _groups(units: list[Unit], reading: Reading, faults: Faults, ends: str) -> Iterator[list[str]]:
    """The texts of a file, a few MB at a time."""
    group: list[str] = []
    length = 0
    for unit in units:
        for segment in segments(unit, reading, faults, ends):
            group.append(segment.text)
            length += len(segment.text)
            if length >= _AT_ONCE:
                yield group
                group, length = [], 0
    if group:
        yield group


def _by_range(files: list[Path]) -> Iterator[LineCounts]:
    """The counts of all files, of one part of the hashes after the other.

    Each file is opened anew, as a process may have only so many open.
    """
    borders = [(number << 64) // _RANGES for number in range(1, _RANGES)]
    starts = np.array(borders, dtype=np.uint64)
    for number in range(_RANGES):
        parts = []
        for file in files:
            counts = np.load(file, mmap_mode="r")
            cuts = [0, *np.searchsorted(counts[0], starts).tolist(), counts.shape[1]]
            parts.append(LineCounts(*np.array(counts[:, cuts[number] : cuts[number + 1]])))
        yield added(parts)


def _write(path: Path, cleaning: Cleaning) -> None:
    symbols = np.frombuffer(json.dumps(cleaning.symbols).encode(), np.uint8)
    with open(path, "wb") as file:
        np.savez(file, lines=cleaning.lines, symbols=symbols)


def _read(path: Path) -> Cleaning:
    """Raises: ValueError for a damaged file."""
    try:
        with np.load(path, allow_pickle=False) as found:
            symbols = json.loads(found["symbols"].tobytes())
            return Cleaning(found["lines"], {int(point): text for point, text in symbols.items()})
    except (KeyError, TypeError, AttributeError, zipfile.BadZipFile, OSError) as error:
        raise ValueError(str(error)) from None
