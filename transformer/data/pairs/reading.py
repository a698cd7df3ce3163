"""Reads a file of source -> target pairs, makes its vocabulary and splits it. Imports no torch."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from transformer.data.built_in.registry import read_source
from transformer.data.pairs.settings import PairSettings, Units
from transformer.data.record import digest, record_of
from transformer.data.tokenizers.pairs import SIDES, PairTokenizer, join_units, split_units
from transformer.system.errors import UserError

_NAMED_LINES = 5

# The units of a source and of its target.
_Sides = tuple[tuple[str, ...], tuple[str, ...]]


class Splits(NamedTuple):
    train: list[int]
    val: list[int]
    test: list[int]


@dataclass(frozen=True)
class Pairs:
    """The distinct valid lines of a file, in its order; a source may have several targets."""

    sources: list[str]
    targets: list[str]
    tokenizer: PairTokenizer
    sha256: str  # of the text as read; it does not depend on the file's line ends
    num_skipped: int = 0
    path: str | Path = "pairs"
    note: str = ""  # about the line ends of the file
    record: Mapping[str, Any] = field(default_factory=dict)  # see `record_of`

    @property
    def facts(self) -> dict[str, Any]:
        return {"sha256": self.sha256, "num_pairs": len(self.sources), **self.record}

    def split(self, val_fraction: float, test_fraction: float) -> Splits:
        """Puts each pair into a split by the hash of its source; the fractions hold on average.

        So all answers of a source are in one split, and they stay there if lines are added.
        """
        places = np.array([_place(source) for source in self.sources])
        test = places < test_fraction
        val = ~test & (places < test_fraction + val_fraction)
        return Splits(*(np.flatnonzero(chosen).tolist() for chosen in (~test & ~val, val, test)))

    def check_splits(self, settings: PairSettings) -> None:
        """Raises: UserError if no pair is left for training or for validation."""
        val_fraction, test_fraction = settings.val_fraction, settings.test_fraction
        splits = self.split(val_fraction, test_fraction)
        for name, indices in (("training", splits.train), ("validation", splits.val)):
            if not indices:
                total = len(self.sources)
                raise UserError(
                    f"{self.path}: {total:,} pair{'s' * (total > 1)}, and no pair is for {name}: "
                    f"{len(splits.train):,} training, {len(splits.val):,} validation, "
                    f"{len(splits.test):,} test (val_fraction={val_fraction:g}, "
                    f"test_fraction={test_fraction:g}): give more pairs, or change the fractions"
                )

    def answers(self, indices: Iterable[int]) -> dict[str, list[str]]:
        """Each source of the pairs at `indices`, and all its targets in these pairs."""
        answers = defaultdict(list)
        for index in indices:
            answers[self.sources[index]].append(self.targets[index])
        return dict(answers)


def _place(source: str) -> float:
    """A pseudorandom number from 0 to 1 that depends on the source alone."""
    digest = hashlib.sha256(source.encode("utf-8")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def read_pairs(
    path: str | Path,
    settings: PairSettings,
    *,
    build: bool = False,
    recall: Callable[[], PairTokenizer] | None = None,
) -> Pairs:
    """Reads a UTF-8 file; each line is a source, a tab and a target.

    The vocabulary is made from all valid lines, from every split; pieces are learned from the
    training split, or are those of `recall`. With `shared_vocabulary` both sides have the same
    vocabulary. White space between words becomes one space. With `build`, a built-in
    file that is missing is built first.

    Raises: UserError if the file is missing, is a folder, is empty, or is not UTF-8. Without
    `skip_bad_lines`, also for lines that are not a pair, or with more than `block_size` units in
    the source or in the target.
    """
    units = settings.units
    read = read_source(path, "file of pairs", build=build)
    text = read.text
    lines = text.rstrip("\n").split("\n")
    if lines == [""]:
        raise UserError(f"{path}: the file is empty; give a source, a tab and a target per line")
    numbered, faults = _parse(lines, units, settings.block_size)
    tokenizer = _tokenizer(list(numbered), settings, recall) if numbered else None
    if tokenizer is not None and "pieces" in units:
        _take_out_long(numbered, faults, tokenizer, settings)
    pairs = list(numbered)
    if faults and not (settings.skip_bad_lines and pairs):
        raise UserError(f"{path}: {_described(faults, settings.skip_bad_lines)}")
    assert tokenizer is not None  # or all lines were bad
    return Pairs(
        sources=[join_units(source, units[0]) for source, _ in pairs],
        targets=[join_units(target, units[1]) for _, target in pairs],
        tokenizer=tokenizer,
        sha256=digest(text),
        record=record_of(text),
        num_skipped=sum(map(len, faults.values())),
        path=path,
        note=read.note,
    )


def _parse(
    lines: list[str], units: tuple[Units, Units], block_size: int
) -> tuple[dict[_Sides, list[int]], dict[str, list[int]]]:
    """The valid pairs, each with its lines, and the numbers of the bad lines, grouped by fault."""
    pairs: dict[_Sides, list[int]] = {}
    faults = defaultdict(list)
    for number, line in enumerate(lines, start=1):
        parts = line.split("\t")
        if len(parts) != 2:
            faults["no tab" if len(parts) == 1 else "more than one tab"].append(number)
            continue
        source, target = (tuple(split_units(*side)) for side in zip(parts, units, strict=True))
        fault = _fault(source, target, block_size)
        if fault:
            faults[fault].append(number)
        else:
            pairs.setdefault((source, target), []).append(number)
    return pairs, faults


def _take_out_long(
    pairs: dict[_Sides, list[int]],
    faults: dict[str, list[int]],
    tokenizer: PairTokenizer,
    settings: PairSettings,
) -> None:
    """Moves pairs with too many pieces to the faults; before, they could not be counted."""
    units = (tokenizer.source, tokenizer.target)
    for sides, numbers in list(pairs.items()):
        texts = map(join_units, sides, settings.units)
        lengths = [len(unit.split(text)) for unit, text in zip(units, texts, strict=True)]
        for name, length in zip(("source", "target"), lengths, strict=True):
            if length > settings.block_size:
                fault = f"{name} longer than block_size={settings.block_size}"
                faults.setdefault(fault, []).extend(pairs.pop(sides, numbers))
                break


def _fault(source: tuple[str, ...], target: tuple[str, ...], block_size: int) -> str | None:
    for name, side in (("source", source), ("target", target)):
        if not side:
            return f"empty {name}"
        if len(side) > block_size:
            return f"{name} longer than block_size={block_size}"
    return None


def _described(faults: dict[str, list[int]], skip_bad_lines: bool) -> str:
    total = sum(map(len, faults.values()))
    kinds = "; ".join(f"{fault} in {_numbered(lines)}" for fault, lines in faults.items())
    ways_out = ["correct them" if total > 1 else "correct it"]
    if any("block_size" in fault for fault in faults):
        ways_out.append("train with a larger `block_size`")
    if not skip_bad_lines:
        ways_out.append("give `skip_bad_lines=True` to skip bad lines")
    bad = "all lines are bad" if skip_bad_lines else f"{total:,} bad line{'s' * (total > 1)}"
    return f"{bad}: {kinds}: {', or '.join(ways_out)}"


def _numbered(lines: list[int]) -> str:
    named = ", ".join(map(str, lines[:_NAMED_LINES]))
    more = len(lines) - _NAMED_LINES
    return f"line{'s' * (len(lines) > 1)} {named}" + f" and {more:,} more" * (more > 0)


def _tokenizer(
    pairs: list[_Sides], settings: PairSettings, recall: Callable[[], PairTokenizer] | None
) -> PairTokenizer:
    if recall is not None and "pieces" in settings.units:
        return recall()
    kept_out = settings.val_fraction + settings.test_fraction
    unit = settings.source_units
    train = [pair for pair in pairs if _place(join_units(pair[0], unit)) >= kept_out] or pairs
    sides = [[list(side) for side in zip(*some, strict=True)] for some in (pairs, train)]
    if settings.shared_vocabulary:
        sides = [[source + target] * 2 for source, target in sides]
    made = (
        SIDES[unit].made(unit, every, trained, settings)
        for unit, every, trained in zip(settings.units, *sides, strict=True)
    )
    return PairTokenizer(*made)
