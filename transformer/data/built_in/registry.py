"""The built-in texts and pairs by their paths, built on first use."""

import logging
import os
import re
from collections.abc import Callable
from os.path import exists
from pathlib import Path, PurePath

from transformer.data.built_in import cmudict, shakespeare
from transformer.system.errors import UserError
from transformer.system.files import ReadText, describe_nuls, read_text, write_text

log = logging.getLogger(__name__)

_SOURCES: dict[str, Callable[[], str]] = {
    "data/input.txt": shakespeare.tiny_shakespeare,
    "data/shakespeare.txt": shakespeare.shakespeare,
    "data/cmudict.tsv": cmudict.cmudict,
    "data/cmudict-single.tsv": cmudict.cmudict_single,
    "data/reverse.tsv": cmudict.reverse,
}

# What raises a UserError if the package is missing that a corpus is built from.
_PACKAGES: dict[str, Callable[[], object]] = {
    "data/input.txt": shakespeare.plays,
    "data/shakespeare.txt": shakespeare.plays,
    "data/cmudict.tsv": cmudict.dictionary,
    "data/cmudict-single.tsv": cmudict.dictionary,
}


def is_built_in(path: str | PurePath) -> bool:
    """Whether `path` is the name of a built-in corpus, with or without a leading `./`.

    Any other path is the user's own file, even if it ends like such a name.
    """
    return _name(path) in _SOURCES


def _name(path: str | PurePath) -> str:
    text = path.as_posix() if isinstance(path, PurePath) else path
    if os.name == "nt":
        text = text.replace("\\", "/")
    return text.removeprefix("./")


def check_source(path: str | PurePath) -> None:
    """Raises: UserError if a built-in corpus cannot be built, as its package is missing."""
    if check := _PACKAGES.get(_name(path)):
        check()


def provide_corpus(path: str | PurePath, what: str, *, build: bool) -> None:
    """Builds a missing file if it is a built-in corpus and `build` is true.

    Raises: UserError for another missing file whose name ends like that of a built-in corpus.
    """
    if exists(path):
        return
    names = {name.rpartition("/")[2]: name for name in _SOURCES}
    name = names.get(re.split(r"[/\\]", str(path))[-1].lower())
    if name is None:  # reading it will raise the error
        return
    if not is_built_in(path):
        raise UserError(
            f"{path}: no such {what}: check the name and the folder, or give `data_path={name}` "
            "for the built-in corpus"
        )
    if not build:
        raise UserError(
            f"{path}: no such {what} here, and only a new training run builds it: start from the "
            "folder that has it, or give its place with `data_path`"
        )
    build_source(path)


def read_source(path: str | Path, what: str, *, build: bool, any_bytes: bool = False) -> ReadText:
    """Reads a text; with `build`, a missing built-in one is built first. Warns of NULs in it.

    With `any_bytes`, it may also be other bytes: see `read_text`.

    Raises: UserError for a file that is missing, a folder or not UTF-8.
    """
    provide_corpus(path, what, build=build)
    read = read_text(path, what, any_bytes=any_bytes)
    if not any_bytes and (nuls := describe_nuls(read.text)):
        log.warning("%s: %s", path, nuls)
    return read


def build_source(path: str | PurePath) -> None:
    """Builds the corpus that the last two parts of `path` name, unless the file exists.

    The caller checks that this corpus is meant, as `provide_corpus` does. Several processes may
    build it at once, as the file is written completely or not at all.

    Raises: UserError if no built-in corpus has this name, if its package is not installed or lacks
    files, or if the folder cannot be written.
    """
    path = Path(path)
    name = "/".join(path.parts[-2:])
    if name not in _SOURCES:
        raise UserError(f"{path}: not a built-in corpus; these are: {', '.join(_SOURCES)}")
    if path.exists():
        return
    text = _SOURCES[name]()
    try:
        write_text(path, text)
    except OSError as error:
        if path.exists():  # another process built it and has it open (Windows)
            return
        raise UserError(
            f"{path}: cannot write the corpus: {error.strerror}; "
            f"make the folder writable, {shakespeare.OWN_TEXT}"
        ) from None
