"""The files of a corpus on the disk: written whole or not at all, and checked. No torch."""

import errno
import json
import os
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer.data.sources.faults import Faults
from transformer.data.token_files import checksums
from transformer.data.token_files.encoding import dtype_of
from transformer.data.token_files.survey import FileFacts
from transformer.system.cache import kept
from transformer.system.errors import UserError
from transformer.system.files import write_text

SAMPLED_CHARACTERS = 20_000_000  # from all files; a tokenizer learns from 16 million at most
_INDEX, _TOKENS = "index.json", "tokens.bin"
_CHECKED = 4  # blocks that are checked when a corpus is opened
_MOST_SURVEYS = 16


@dataclass(frozen=True)
class TokenFiles:
    """`tokens` are those of the training split, then validation, then test: a memory map.

    `lengths` are the tokens of each part of the data_path, by split.
    """

    tokens: NDArray[Any]
    lengths: list[list[int]]
    characters: list[int]  # by split
    text_bytes: list[int]

    @classmethod
    def found(cls, folder: Path, *, whole: bool = False) -> "TokenFiles | None":
        """None if they are missing, of another version, or damaged.

        A few blocks are checked; with `whole`, all.
        """
        try:
            index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
            path, wanted = folder / _TOKENS, index["checksums"]
            if path.stat().st_size != checksums.num_bytes(wanted):
                return None
            step = 1 if whole else max(1, len(wanted) // _CHECKED)
            numbers = {*range(0, len(wanted), step), *range(len(wanted))[-1:]}
            with open(path, "rb") as file:
                if not checksums.fit(file, wanted, numbers):
                    return None
            return cls._of(path, index)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    @classmethod
    def _of(cls, path: Path, index: Mapping[str, Any]) -> "TokenFiles":
        # Copied on writing, so that torch takes it: nothing writes.
        tokens = np.memmap(path, dtype=index["dtype"], mode="c")
        return cls(tokens, index["lengths"], index["characters"], index["text_bytes"])

    @classmethod
    def written(
        cls, folder: Path, joined: Path, vocab_size: int, facts: Mapping[str, Any]
    ) -> "TokenFiles":
        """Renames a complete file, whose index is written before."""
        index = {"dtype": dtype_of(vocab_size), **facts}
        write_text(folder / _INDEX, json.dumps(index))
        os.replace(joined, folder / _TOKENS)
        return cls._of(folder / _TOKENS, index)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Raises: UserError if the cache folder cannot be written, or its disk is full."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM):
            raise
        raise UserError(
            f"{folder}: cannot write the token files: {error.strerror}: make room, or give another "
            "`cache_dir`; what is prepared is used by the next start"
        ) from None


def kept_survey(folder: Path, name: str, make: Callable[[], list[FileFacts]]) -> list[FileFacts]:
    """The facts of all files, from the cache folder if they were found before."""
    path = folder / f"{name}.npz"
    return kept(path, make, _read_survey, _write_survey, most_files=_MOST_SURVEYS)


_ARRAYS = ("keys", "lengths")


def _write_survey(path: Path, facts: list[FileFacts]) -> None:
    arrays: Any = {name: np.concatenate([getattr(one, name) for one in facts]) for name in _ARRAYS}
    rest = [
        {key: value for key, value in one._asdict().items() if key not in _ARRAYS}
        | {"number": len(one.keys), "faults": vars(one.faults)}
        for one in facts
    ]
    for one in rest[1:]:
        one["beginning"] = ""
    text = np.frombuffer(json.dumps(rest).encode(), np.uint8)
    with open(path, "wb") as file:
        np.savez(file, **arrays, facts=text)


def _read_survey(path: Path) -> list[FileFacts]:
    """Raises: ValueError for a damaged file."""
    try:
        with np.load(path, allow_pickle=False) as found:
            keys, lengths = (found[name] for name in _ARRAYS)
            rest = json.loads(found["facts"].tobytes())
        facts, start = [], 0
        for one in rest:
            own = slice(start, start + one.pop("number"))
            start = own.stop
            one["faults"] = Faults(**one["faults"])
            facts.append(FileFacts(keys=keys[own], lengths=lengths[own], **one))
        return facts
    except (KeyError, TypeError, zlib.error, zipfile.BadZipFile, OSError) as error:
        raise ValueError(str(error)) from None


def remove(folder: Path) -> None:
    """Deletes token files, the index first, so that nothing half is taken for whole."""
    (folder / _INDEX).unlink(missing_ok=True)
    if os.path.isdir(folder):
        shutil.rmtree(folder)
