"""Joins the files of the batches in one file while later batches are encoded. Imports no torch."""

import os
import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from transformer.data.text.documents import SPLITS, TRAIN
from transformer.data.token_files import checksums
from transformer.data.token_files.encoding import ids_path, read_info

_FLUSHED = 1 << 26  # bytes, after which the disk begins to write
_AT_ONCE = 1 << 20  # bytes


class Joining:
    """The files of the training split, joined in the order of their batches.

    Each is deleted then, so the disk need not hold, or even write, both. `infos` are the facts of
    the batches that are joined: after a kill, those before it are there from the start.
    """

    def __init__(self, file: BinaryIO, flusher: ThreadPoolExecutor, num_batches: int) -> None:
        self.path = Path(file.name)
        self.infos: list[dict[str, Any]] = []
        self._file, self._flusher = file, flusher
        self._flushed: Future[None] | None = None
        self._not_flushed = 0
        size = 0
        for number in range(num_batches):
            info = read_info(self.path.parent, number)
            if info is None or ids_path(self.path.parent, number, TRAIN).exists():
                break
            if not checksums.fit(file, info["checksums"][TRAIN]):
                break
            self.infos.append(info)
            size += checksums.num_bytes(info["checksums"][TRAIN])
        file.seek(size)
        file.truncate()

    @classmethod
    @contextmanager
    def of(cls, folder: Path, num_batches: int) -> "Iterator[Joining]":
        path = folder / "joined"
        path.touch()
        with open(path, "r+b") as file, ThreadPoolExecutor(1) as flusher:
            yield cls(file, flusher, num_batches)

    def add(self, info: dict[str, Any]) -> None:
        """Joins the next batch."""
        path = ids_path(self.path.parent, len(self.infos), TRAIN)
        self._append(path)
        self._file.flush()  # a kill after the next line loses nothing
        path.unlink(missing_ok=True)
        self.infos.append(info)
        self._not_flushed += checksums.num_bytes(info["checksums"][TRAIN])
        if self._not_flushed >= _FLUSHED and (self._flushed is None or self._flushed.done()):
            self._wait()
            self._flushed = self._flusher.submit(os.fsync, self._file.fileno())
            self._not_flushed = 0

    def finish(self, num_parts: int) -> dict[str, Any]:
        """Appends the other splits, and waits for the disk; the facts of the whole file."""
        for split in SPLITS[1:]:
            for number in range(len(self.infos)):
                self._append(ids_path(self.path.parent, number, split))
        self._file.flush()
        self._wait()
        os.fsync(self._file.fileno())
        lengths = [[0] * num_parts for _ in SPLITS]
        for split in SPLITS:
            for info in self.infos:
                lengths[split][info["part"]] += info["tokens"][split]
        found = ([info["checksums"][split] for info in self.infos] for split in SPLITS)
        return {
            "checksums": list(chain.from_iterable(chain.from_iterable(found))),
            "lengths": lengths,
            "characters": [
                sum(info["characters"][split] for info in self.infos) for split in SPLITS
            ],
            "text_bytes": [
                sum(info["text_bytes"][split] for info in self.infos) for split in SPLITS
            ],
        }

    def _append(self, path: Path) -> None:
        """Nothing for a batch without tokens of a split, which has no file."""
        if path.exists():
            with open(path, "rb") as part:
                shutil.copyfileobj(part, self._file, _AT_ONCE)

    def _wait(self) -> None:
        """Raises: OSError if the disk could not write."""
        if self._flushed is not None:
            self._flushed.result()
