"""A corpus as the first pass finds it: its files, documents and splits. Imports no torch."""

import hashlib
import json
import os
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from transformer.data.record import identity_of
from transformer.data.sources.reading import all_files
from transformer.data.sources.settings import shown
from transformer.data.text.documents import Split, split_of
from transformer.data.text.settings import TextSettings
from transformer.data.token_files.index import kept_survey
from transformer.data.token_files.survey import FileFacts, survey_file
from transformer.data.token_files.units import Unit, units_of
from transformer.data.token_files.workers import in_parallel
from transformer.data.tokenizer_choice import TokenizerChoice
from transformer.system.cache import cache_folder
from transformer.system.errors import UserError

VERSION = 1  # of the way in which token files are made


class _Stamp(NamedTuple):
    """What tells that a file has not changed, without reading it."""

    path: str
    size: int
    modified: int


@dataclass(frozen=True)
class Surveyed:
    """All files of a corpus, with what the first pass has found in each."""

    data_path: Any
    parts: list[list[str]]  # files; with val_path, one more part
    has_own_validation: bool
    stamps: list[_Stamp]
    units: list[list[Unit]]  # by file
    facts: list[FileFacts]
    num_no_text: int

    @property
    def every_file(self) -> list[tuple[int, str]]:
        return [(number, file) for number, files in enumerate(self.parts) for file in files]

    @cached_property
    def keys(self) -> NDArray[np.uint64]:
        return np.concatenate([facts.keys for facts in self.facts])

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        return np.concatenate([facts.lengths for facts in self.facts])

    @cached_property
    def document_parts(self) -> NDArray[np.int64]:
        numbers = [part for part, _ in self.every_file]
        return np.repeat(numbers, [len(facts.keys) for facts in self.facts])

    @property
    def sha256(self) -> str:
        whole = [facts.text_digest for facts in self.facts if len(facts.keys)]
        if len(self.keys) == 1:
            return whole[0]
        files = zip(self.every_file, self.facts, strict=True)
        found = [(part, bytes.fromhex(one.digest)) for (part, _), one in files if one.digest]
        return identity_of(found)

    def split(self, settings: TextSettings) -> Split:
        own = self.document_parts == len(self.parts) - 1 if self.has_own_validation else ()
        return split_of(
            self.keys, self.lengths, self.document_parts, settings, num_own=int(np.sum(own))
        )


def survey(
    data_path: Any, settings: TextSettings, choice: TokenizerChoice, *, build: bool
) -> Surveyed:
    """Reads every file once; what was found is kept in the cache folder while no file changes."""
    reading = settings.reading(any_bytes=choice.reads_any_file)
    parts, left_out = all_files(data_path, settings.val_path, reading, build=build)
    files = [(number, file) for number, part in enumerate(parts) for file in part]
    stamps = [_stamp(file) for _, file in files]
    units = [units_of(file, part, reading) for part, file in files]
    folder = cache_folder(choice.cache_dir) / "surveys"
    question = json.dumps(
        [VERSION, stamps, [part for part, _ in files], list(vars(reading).items())]
    )

    def make() -> list[FileFacts]:
        sizes = [stamp.size for stamp in stamps]
        found = list(in_parallel(survey_file, units, sizes, (reading,), "reading"))
        if changed := [stamp.path for stamp in stamps if _stamp(stamp.path) != stamp]:
            raise UserError(f"{shown(changed[0])}: changed while it was read: start again")
        return found

    facts = kept_survey(folder, hashlib.sha256(question.encode()).hexdigest()[:32], make)
    return Surveyed(data_path, parts, settings.val_path is not None, stamps, units, facts, left_out)


def _stamp(file: str) -> _Stamp:
    try:
        found = os.stat(file)
    except OSError as error:
        raise UserError(f"{shown(file)}: cannot read this file: {error.strerror}") from None
    return _Stamp(shown(os.path.abspath(file)), found.st_size, found.st_mtime_ns)
