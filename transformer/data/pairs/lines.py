"""Reads the lines of a file of pairs, and names the bad ones. Imports no torch."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from transformer.data.built_in.registry import read_source
from transformer.data.pairs.settings import PairSettings, Units
from transformer.data.tokenizers.pairs import PairTokenizer, join_units, split_units
from transformer.system.errors import UserError

_NAMED_LINES = 5

# The units of a source and of its target.
Sides = tuple[tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True)
class PairFile:
    """The distinct valid pairs of a file, each with its lines, and its bad lines by their fault."""

    path: str | Path
    text: str
    note: str  # about the line ends of the file
    pairs: dict[Sides, list[int]]
    faults: dict[str, list[int]]

    @classmethod
    def read(cls, path: str | Path, settings: PairSettings, *, build: bool) -> "PairFile":
        """Raises: UserError if the file is missing, is a folder, is empty, or is not UTF-8."""
        read = read_source(path, "file of pairs", build=build)
        lines = read.text.rstrip("\n").split("\n")
        if lines == [""]:
            raise UserError(
                f"{path}: the file is empty; give a source, a tab and a target per line"
            )
        return cls(path, read.text, read.note, *_parse(lines, settings.units, settings.block_size))

    def take_out_long(self, tokenizer: PairTokenizer, settings: PairSettings) -> None:
        """Moves pairs with too many pieces to the faults; before, they could not be counted."""
        units = (tokenizer.source, tokenizer.target)
        for sides, numbers in list(self.pairs.items()):
            texts = map(join_units, sides, settings.units)
            lengths = [len(unit.split(text)) for unit, text in zip(units, texts, strict=True)]
            for name, length in zip(("source", "target"), lengths, strict=True):
                if length > settings.block_size:
                    fault = f"{name} longer than block_size={settings.block_size}"
                    self.faults.setdefault(fault, []).extend(self.pairs.pop(sides, numbers))
                    break

    @property
    def num_bad(self) -> int:
        return sum(map(len, self.faults.values()))


def check_lines(files: Sequence[PairFile], *, skip_bad_lines: bool) -> None:
    """Raises: UserError for bad lines; if they are skipped, for a file that has no other lines."""
    bad = [file for file in files if file.faults and not (skip_bad_lines and file.pairs)]
    if not bad:
        return
    ways_out = ["correct them" if sum(file.num_bad for file in bad) > 1 else "correct it"]
    if any("block_size" in fault for file in bad for fault in file.faults):
        ways_out.append("train with a larger `block_size`")
    if not skip_bad_lines:
        ways_out.append("give `skip_bad_lines=True` to skip bad lines")
    described = "; ".join(_described(file, skip_bad_lines) for file in bad)
    raise UserError(f"{described}: {', or '.join(ways_out)}")


def _parse(
    lines: list[str], units: tuple[Units, Units], block_size: int
) -> tuple[dict[Sides, list[int]], dict[str, list[int]]]:
    """The valid pairs, each with its lines, and the numbers of the bad lines, grouped by fault."""
    pairs: dict[Sides, list[int]] = {}
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


def _fault(source: tuple[str, ...], target: tuple[str, ...], block_size: int) -> str | None:
    for name, side in (("source", source), ("target", target)):
        if not side:
            return f"empty {name}"
        if len(side) > block_size:
            return f"{name} longer than block_size={block_size}"
    return None


def _described(file: PairFile, skip_bad_lines: bool) -> str:
    total = file.num_bad
    kinds = "; ".join(f"{fault} in {_numbered(lines)}" for fault, lines in file.faults.items())
    bad = "all lines are bad" if skip_bad_lines else f"{total:,} bad line{'s' * (total > 1)}"
    return f"{file.path}: {bad}: {kinds}"


def _numbered(lines: list[int]) -> str:
    named = ", ".join(map(str, lines[:_NAMED_LINES]))
    more = len(lines) - _NAMED_LINES
    return f"line{'s' * (len(lines) > 1)} {named}" + f" and {more:,} more" * (more > 0)
