"""The files of a corpus, and what tells that they have not changed. Imports no torch."""

import os
from dataclasses import dataclass
from typing import Any, NamedTuple

from transformer.data.sources.reading import all_files
from transformer.data.sources.settings import Reading, shown
from transformer.data.text.settings import TextSettings
from transformer.data.token_files.units import Unit, units_of
from transformer.system.errors import UserError

VERSION = 5  # of the way in which token files are made


class Stamp(NamedTuple):
    """What tells that a file has not changed, without reading it."""

    path: str
    size: int
    modified: int

    @classmethod
    def of(cls, file: str) -> "Stamp":
        """Raises: UserError if the file cannot be found."""
        try:
            found = os.stat(file)
        except OSError as error:
            raise UserError(f"{shown(file)}: cannot read this file: {error.strerror}") from None
        return cls(shown(os.path.abspath(file)), found.st_size, found.st_mtime_ns)


@dataclass(frozen=True)
class Listing:
    parts: list[list[str]]  # files; with val_path, one more part
    has_own_validation: bool
    stamps: list[Stamp]
    units: list[list[Unit]]  # by file

    @classmethod
    def of(
        cls, data_path: Any, settings: TextSettings, reading: Reading, *, build: bool
    ) -> "Listing":
        parts, _ = all_files(data_path, settings.val_path, reading, build=build)
        files = [(number, file) for number, part in enumerate(parts) for file in part]
        units = [units_of(file, part, reading) for part, file in files]
        stamps = [Stamp.of(file) for _, file in files]
        return cls(parts, settings.val_path is not None, stamps, units)

    @property
    def every_file(self) -> list[tuple[int, str]]:
        return [(number, file) for number, files in enumerate(self.parts) for file in files]

    @property
    def sizes(self) -> list[int]:
        return [stamp.size for stamp in self.stamps]

    def question(self, reading: Reading) -> list[Any]:
        """What decides the texts that are read: the same question has the same answer."""
        ways = {name: getattr(value, "digest", value) for name, value in vars(reading).items()}
        parts = [part for part, _ in self.every_file]
        return [VERSION, self.stamps, parts, list(ways.items())]

    def check_unchanged(self) -> None:
        """Raises: UserError for a file that has changed since."""
        for (_, file), stamp in zip(self.every_file, self.stamps, strict=True):
            if Stamp.of(file) != stamp:
                raise UserError(f"{stamp.path}: changed while it was read: start again")
