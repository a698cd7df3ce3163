"""Finds the files that a data_path names: one, those of a folder, or of a pattern. No torch."""

import glob
import os
from collections.abc import Iterator
from os.path import exists, isdir, lexists

from transformer.data.built_in.registry import check_source, is_built_in
from transformer.data.sources.compression import endings
from transformer.data.sources.formats import RECORDS, is_plain
from transformer.data.sources.settings import listed
from transformer.system.errors import UserError
from transformer.system.files import check_finite, read_bytes

_PATTERN = "*?["
_LOOKED_AT = 8192  # bytes, to tell text from other files


def is_pattern(path: str) -> bool:
    return any(sign in path for sign in _PATTERN) and not lexists(path)


def is_one_text(data_path: object) -> bool:
    """Whether this is one file of plain text: no list, folder, pattern, or file of records."""
    if isinstance(data_path, list | tuple):
        return False
    path = str(data_path)
    return not is_pattern(path) and not isdir(path) and is_plain(path)


def find_files(path: str, *, wide: bool = False) -> tuple[list[str], int]:
    """The files by name, each once, and how many files of folders are left out as no text.

    In a folder, hidden files are left out. So are files with NUL bytes that have no known ending,
    unless the encoding is `wide` (UTF-16 or UTF-32), whose text has them too.

    Raises: UserError for a folder without text files and a pattern that matches nothing.
    """
    found: dict[str, None] = {}
    left_out = 0
    for each in _matching(path) if is_pattern(path) else [path]:
        if not isdir(each):
            check_finite(each, "text file")
            found[each] = None
            continue
        for file in _inside(each):
            if wide or _may_be_text(file):
                found[file] = None
            else:
                left_out += 1
    if found:
        return list(found), left_out
    what = "its files are not text" if left_out else "the folder is empty"
    raise UserError(f"{path}: {what}: give a folder with .txt, .jsonl or other files of text")


def check_paths(data_path: object) -> None:
    """Raises: UserError for a part that names no file, and for one file that cannot be read."""
    for path in listed(data_path):
        if is_pattern(path) or isdir(path):
            find_files(path)
        else:
            read_bytes(path, "text file")


def check_there(data_path: object) -> None:
    """Raises: UserError for a part that names no file. No file is read, and no corpus built."""
    for path in listed(data_path):
        if is_pattern(path) or isdir(path):
            find_files(path)
        elif not exists(path):
            if not is_built_in(path):
                raise UserError(f"{path}: no such text file: check the name and the folder")
            check_source(path)


def _matching(pattern: str) -> list[str]:
    if found := sorted(glob.glob(pattern, recursive=True)):
        return found
    raise UserError(f"{pattern}: no file matches this pattern: check the folder and the ending")


def _inside(folder: str) -> list[str]:
    """All files of a folder and of its folders, by name; a circle of links is walked once."""
    return sorted(_walked(folder), key=lambda path: path.split(os.sep))


def _walked(folder: str) -> Iterator[str]:
    seen: set[str] = set()

    def fail(error: OSError) -> None:
        raise UserError(f"{error.filename}: cannot read this folder: {error.strerror}")

    for at, folders, files in os.walk(folder, followlinks=True, onerror=fail):
        real = os.path.realpath(at)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (os.path.join(at, name) for name in files if not name.startswith("."))


def _may_be_text(path: str) -> bool:
    ending, packed = endings(path)
    if ending in RECORDS or packed:
        return True
    try:
        with open(path, "rb") as file:
            return b"\0" not in file.read(_LOOKED_AT)
    except OSError:
        return True  # reading it will raise the error
