"""Reads all documents that a data_path names. Imports no torch."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from os.path import exists, getsize, isdir
from typing import Any, NamedTuple

from transformer.data.built_in.registry import provide_corpus
from transformer.data.sources.compression import DAMAGED
from transformer.data.sources.faults import BadFile, Faults
from transformer.data.sources.formats import Record, reader_of
from transformer.data.sources.paths import find_files, is_pattern
from transformer.data.sources.settings import DataPath, Reading, listed, shown
from transformer.data.tokenizers.utf8 import as_bytes
from transformer.system.errors import UserError
from transformer.system.progress import progress


class Document(NamedTuple):
    text: str
    file: str
    place: str = ""  # within its file, such as `line 3`

    @property
    def name(self) -> str:
        return shown(self.file) + (f", {self.place}" if self.place else "")


@dataclass(frozen=True)
class Documents:
    """The documents of each part of a data_path, in the order of files and of their records."""

    parts: list[list[Document]]
    num_files: int
    faults: Faults
    num_no_text: int = 0  # files in folders that are left out because they are no text

    @property
    def every(self) -> list[Document]:
        return [document for part in self.parts for document in part]

    def cleaned(self, cleaning: Callable[[str], str]) -> "Documents":
        """Without documents that have no text then."""
        parts = [
            [document._replace(text=text) for document in part if (text := cleaning(document.text))]
            for part in self.parts
        ]
        return replace(self, parts=parts)

    def check(self, data_path: DataPath) -> None:
        """Raises: UserError for a part without any text."""
        for path, documents in zip(listed(data_path), self.parts, strict=True):
            if not documents:
                raise UserError(
                    f"{shown(path)}: has no text{self.faults.note}: give files with text"
                )


def files_of(data_path: DataPath, reading: Reading, *, build: bool) -> tuple[list[list[str]], int]:
    """The files of each part, and how many files are left out as no text.

    Raises: UserError for a part that names no file.
    """
    parts, left_out = [], 0
    for path in listed(data_path):
        if not is_pattern(path) and not isdir(path):
            provide_corpus(path, "text file", build=build)
        files, number = find_files(path, wide=reading.is_wide)
        parts.append(files)
        left_out += number
    return parts, left_out


def all_files(
    data_path: DataPath, val_path: DataPath | None, reading: Reading, *, build: bool
) -> tuple[list[list[str]], int]:
    """As `files_of`; the files of `val_path` are one part more."""
    parts, left_out = files_of(data_path, reading, build=build)
    if val_path is not None:
        own, number = files_of(val_path, reading, build=build)
        parts, left_out = [*parts, [file for files in own for file in files]], left_out + number
    return parts, left_out


def total_bytes(
    data_path: DataPath, val_path: DataPath | None, reading: Reading, *, build: bool
) -> int:
    """Of all files on the disk, those for validation too.

    Raises: UserError for a path that names no file.
    """
    parts, _ = all_files(data_path, val_path, reading, build=build)
    return sum(getsize(file) for files in parts for file in files if exists(file))


def read_documents(data_path: DataPath, reading: Reading, *, build: bool = False) -> Documents:
    """Raises: UserError for what cannot be read, and for a part without any text."""
    faults = Faults(reading.skip_bad_files)
    parts, left_out = files_of(data_path, reading, build=build)
    total = sum(getsize(file) for files in parts for file in files if exists(file))
    with progress("reading", total) as bar:
        read = [
            [document for file in files for document in _watched(file, reading, faults, bar)]
            for files in parts
        ]
    documents = Documents(read, sum(map(len, parts)), faults, left_out)
    documents.check(data_path)
    faults.report()
    return documents


def _watched(file: str, reading: Reading, faults: Faults, bar: Any) -> list[Document]:
    found = documents_of(file, reading, faults)
    bar.update(getsize(file))
    return found


def documents_of(file: str, reading: Reading, faults: Faults) -> list[Document]:
    """All documents of a file, or none of a file that cannot be read to its end."""
    own = Faults(faults.skip)
    try:
        found = [
            Document(record.text, file, record.place)
            for record in checked(file, reading, own)
            if record.text
        ]
    except BadFile as error:
        faults.file(error)
        return []
    faults.add(own)
    return found


def checked(file: str, reading: Reading, faults: Faults) -> Iterator[Record]:
    """The records of a file. Raises: BadFile with the file and the reason."""
    with naming(file):
        yield from reader_of(file, reading)(file, reading, faults)


@contextmanager
def naming(file: str) -> Iterator[None]:
    """Raises: BadFile with the file and the reason, for what its reader raises."""
    try:
        yield
    except FileNotFoundError:
        raise UserError(
            f"{shown(file)}: no such text file: check the name and the folder"
        ) from None
    except (*DAMAGED, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise BadFile(f"{shown(file)}: cannot read this file: {reason}") from None


def document_digest(text: str) -> bytes:
    """The sha256 of a document, which decides its split."""
    return hashlib.sha256(as_bytes(text)).digest()
