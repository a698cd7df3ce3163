"""Reads files of source -> target pairs, makes their vocabulary and splits. Imports no torch."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from transformer.data.pairs.lines import PairFile, Sides, check_lines
from transformer.data.pairs.settings import PairSettings
from transformer.data.pairs.split import Own, Splits, split_sources, without_copies
from transformer.data.record import digest, identity_of, record_of
from transformer.data.sources.settings import shown
from transformer.data.tokenizers.pairs import SIDES, PairTokenizer, join_units
from transformer.system.errors import UserError

_DIGITS = 12  # of the sha256 of each file that a model's file keeps


@dataclass(frozen=True)
class Pairs:
    """The distinct valid lines of each file, in its order; a source may have several targets.

    The pairs of data_path come first, then those of val_path and of test_path.
    """

    sources: list[str]
    targets: list[str]
    tokenizer: PairTokenizer
    sha256: str  # of the text as read; it does not depend on the file's line ends
    num_skipped: int = 0
    path: str | Path = "pairs"
    note: str = ""  # about the line ends of the files
    record: Mapping[str, Any] = field(default_factory=dict)  # see `_identified`
    own: Own = field(default_factory=Own)

    @property
    def facts(self) -> dict[str, Any]:
        return {"sha256": self.sha256, "num_pairs": len(self.sources), **self.record}

    def split(self, val_fraction: float, test_fraction: float) -> Splits:
        """See `split_sources`; the fractions are shares of data_path alone."""
        return split_sources(self.sources, val_fraction, test_fraction, self.own)

    @property
    def note_of_copies(self) -> str:
        """How many pairs are in no split, because a file for a later split has their source."""
        left = without_copies(self.sources, self.own)
        num_train = len(self.sources) - sum(self.own) - len(left.train)
        held_out = " or ".join(f"{name}_path" for name, n in self.own._asdict().items() if n)
        counts = [
            (num_train, "training", held_out),
            (self.own.val - len(left.val), "validation", "test_path"),
        ]
        return "".join(
            f", {number:,} pair{'s' * (number > 1)} with sources of {file} left out of {split}"
            for number, split, file in counts
            if number
        )

    def check_splits(self, settings: PairSettings) -> None:
        """Raises: UserError if no pair is left for training or for validation."""
        splits = self.split(*settings.fractions)
        for name, indices in (("training", splits.train), ("validation", splits.val)):
            if not indices:
                total = len(self.sources)
                raise UserError(
                    f"{self.path}: {total:,} pair{'s' * (total > 1)}, and no pair is for {name}: "
                    f"{len(splits.train):,} training, {len(splits.val):,} validation, "
                    f"{len(splits.test):,} test ({settings.shares}{self.note_of_copies}): give "
                    f"more pairs, or change the fractions{' or the files' * any(self.own)}"
                )

    def answers(self, indices: Iterable[int]) -> dict[str, list[str]]:
        """Each source of the pairs at `indices`, and all its targets in these pairs."""
        answers = defaultdict(list)
        for index in indices:
            answers[self.sources[index]].append(self.targets[index])
        return dict(answers)


def read_pairs(
    path: str | Path,
    settings: PairSettings,
    *,
    build: bool = False,
    recall: Callable[[], PairTokenizer] | None = None,
) -> Pairs:
    """Reads UTF-8 files; each line is a source, a tab and a target.

    The files are `path` and those that the settings name for validation and the test. The
    vocabulary is made from all valid lines, from every split; pieces are learned from the training
    split, or are those of `recall`. With `shared_vocabulary` both sides have the same vocabulary.
    White space between words becomes one space. With `build`, a built-in file that is missing is
    built first.

    Raises: UserError if a file is missing, is a folder, is empty, or is not UTF-8. Without
    `skip_bad_lines`, also for lines that are not a pair, or with more than `block_size` units in
    the source or in the target.
    """
    paths = (path, settings.val_path, settings.test_path)
    files = [
        None if each is None else PairFile.read(str(each), settings, build=build) for each in paths
    ]
    tokenizer = _checked_tokenizer(files, settings, recall)
    found = [file for file in files if file is not None]
    sha256, record = _identified(files)
    pairs = list(chain(*(file.pairs for file in found)))
    return Pairs(
        sources=[join_units(source, settings.source_units) for source, _ in pairs],
        targets=[join_units(target, settings.target_units) for _, target in pairs],
        tokenizer=tokenizer,
        sha256=sha256,
        record=record,
        num_skipped=sum(file.num_bad for file in found),
        path=path,
        note=_note(found),
        own=_own(files),
    )


def _note(files: Sequence[PairFile]) -> str:
    """On the line ends; of several files, with the name of each."""
    named = len(files) > 1
    return "".join(f"{file.note}{f' in {file.path}' * named}" for file in files if file.note)


def _own(files: Sequence[PairFile | None]) -> Own:
    return Own(*(0 if file is None else len(file.pairs) for file in files[1:]))


def _identified(files: Sequence[PairFile | None]) -> tuple[str, dict[str, Any]]:
    """The sha256 of all files, and what a model's file holds about them besides.

    A single file has the sha256 of its text and `record_of`, several have the digest of each.
    """
    found = [(part, file, digest(file.text)) for part, file in enumerate(files) if file is not None]
    if len(found) == 1:
        (_, file, sha256), *_ = found
        return sha256, record_of(file.text)
    sha256 = identity_of([(part, bytes.fromhex(one)) for part, _, one in found])
    return sha256, {"files": {shown(str(file.path)): one[:_DIGITS] for _, file, one in found}}


def _checked_tokenizer(
    files: Sequence[PairFile | None],
    settings: PairSettings,
    recall: Callable[[], PairTokenizer] | None,
) -> PairTokenizer:
    """Also takes out the lines that are too long in pieces, before all bad lines are reported.

    Raises: UserError for bad lines, unless they are to be skipped.
    """
    found = [file for file in files if file is not None]
    tokenizer = None
    if all(file.pairs for file in found):
        tokenizer = _tokenizer(files, settings, recall)
        for file in found if "pieces" in settings.units else ():
            file.take_out_long(tokenizer, settings)
    check_lines(found, skip_bad_lines=settings.skip_bad_lines)
    assert tokenizer is not None  # or all lines of a file were bad
    return tokenizer


def _tokenizer(
    files: Sequence[PairFile | None],
    settings: PairSettings,
    recall: Callable[[], PairTokenizer] | None,
) -> PairTokenizer:
    if recall is not None and "pieces" in settings.units:
        return recall()
    pairs: list[Sides] = list(chain(*(file.pairs for file in files if file is not None)))
    sources = [join_units(source, settings.source_units) for source, _ in pairs]
    rows = split_sources(sources, *settings.fractions, _own(files)).train
    train = [pairs[row] for row in rows] or pairs
    sides = [[list(side) for side in zip(*some, strict=True)] for some in (pairs, train)]
    if settings.shared_vocabulary:
        sides = [[source + target] * 2 for source, target in sides]
    made = (
        SIDES[unit].made(unit, every, trained, settings)
        for unit, every, trained in zip(settings.units, *sides, strict=True)
    )
    return PairTokenizer(*made)
