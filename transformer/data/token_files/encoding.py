"""Encodes some units into files of ids, one for each split. Imports no torch."""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from transformer.data.sources.faults import Faults
from transformer.data.sources.settings import Reading
from transformer.data.text.documents import SPLITS, Split
from transformer.data.token_files import checksums
from transformer.data.token_files.units import Unit, segments
from transformer.data.tokenizers.base import Tokenizer
from transformer.data.tokenizers.registry import tokenizer_from_state
from transformer.data.tokenizers.utf8 import as_bytes

# Numbers of 1, 2 and 4 bytes, and the most symbols that they can count.
_TYPES = {"u1": 2**8, "<u2": 2**16, "<u4": 2**32}


class Job(NamedTuple):
    """One unit, with what is known of its documents; the first may have begun before it."""

    unit: Unit
    ends: str
    split: Split  # of the documents of the unit, counted from 0
    offset: int  # characters of the first document before the unit
    last: tuple[int, ...]  # by split: the number of its last document, if that is in this unit
    length: int  # characters of the unit

    def may_have(self, split: int) -> bool:
        """False if no text of the unit is in this split."""
        first, *others = map(self.split.pieces, range(len(self.split)))
        here = [
            piece
            for piece in first
            if piece.start < self.offset + self.length
            and (piece.end is None or piece.end > self.offset)
        ]
        return any(piece.split == split for pieces in (here, *others) for piece in pieces)


class TextOfJob(NamedTuple):
    """A text of a unit in a split; `closes` if another document follows it there."""

    split: int
    text: str
    closes: bool
    start: int  # in its document, in characters
    record: str  # within its file, such as `line 3`


class Batch(NamedTuple):
    """Units of one part of the data_path, which follow each other, and become the same files."""

    number: int
    jobs: list[Job]


def info_path(folder: Path, number: int) -> Path:
    return folder / f"{number:06}.json"


def ids_path(folder: Path, number: int, split: int) -> Path:
    return folder / f"{number:06}.{split}"


def read_info(folder: Path, number: int) -> dict[str, Any] | None:
    """What was written about the files of a batch; None if it is missing or damaged."""
    try:
        info = json.loads(info_path(folder, number).read_text(encoding="utf-8"))
        for split in SPLITS:
            checksums.num_bytes(info["checksums"][split])
        return info
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return None


def known_info(folder: Path, number: int) -> dict[str, Any] | None:
    """`read_info`; None also if a file of the batch is missing or damaged."""
    info = read_info(folder, number)
    if info is None:
        return None
    for split in SPLITS:
        path, wanted = ids_path(folder, number, split), info["checksums"][split]
        if (path.stat().st_size if path.exists() else 0) != checksums.num_bytes(wanted):
            return None
        if wanted:
            with open(path, "rb") as file:
                if not checksums.fit(file, wanted):
                    return None
    return info


def encode_batch(
    batch: Batch, folder: Path, state: str, ending: Any, reading: Reading
) -> dict[str, Any]:
    """Writes the ids of each split, and then the facts of these files; gives the facts.

    `state` is the tokenizer's as JSON: processes started anew read it from there.
    """
    if (known := known_info(folder, batch.number)) is not None:
        return known
    paths = [ids_path(folder, batch.number, split) for split in SPLITS]
    parts = [path.with_name(f".{path.name}.tmp") for path in paths]
    with ExitStack() as stack:
        files = [stack.enter_context(open(part, "wb")) for part in parts]
        info = _write_ids(batch.jobs, files, _tokenizer(state), ending, reading)
    for part, path in zip(parts, paths, strict=True):
        part.replace(path) if part.stat().st_size else part.unlink()
    # Nothing is flushed to the disk: what a crash has damaged has other checksums and is made anew.
    path = info_path(folder, batch.number)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(info), encoding="utf-8")
    temporary.replace(path)
    return info


def _write_ids(
    jobs: Sequence[Job],
    files: Sequence[BinaryIO],
    tokenizer: Tokenizer,
    ending: Any,
    reading: Reading,
) -> dict[str, Any]:
    """Gives the facts of what was written, each by split."""
    kind = dtype_of(tokenizer.vocab_size)
    names = ("tokens", "characters", "text_bytes")
    info: dict[str, Any] = {name: [0] * len(SPLITS) for name in names}
    info["checksums"] = [[] for _ in SPLITS]
    for one in chain.from_iterable(texts_of(job, reading) for job in jobs):
        split, text, end = one.split, one.text, [ending.astype(kind)] if one.closes else []
        for ids in (tokenizer.encode_as(text, kind), *end):
            files[split].write(ids.data)
            checksums.add(info["checksums"][split], ids.data)
            info["tokens"][split] += ids.size
        info["characters"][split] += len(text)
        info["text_bytes"][split] += len(text) if text.isascii() else len(as_bytes(text))
    return info | {"part": jobs[0].unit.part}


@lru_cache(maxsize=1)
def _tokenizer(state: str) -> Tokenizer:
    made = tokenizer_from_state(json.loads(state))
    assert isinstance(made, Tokenizer)
    return made


def texts_of(job: Job, reading: Reading) -> Iterator[TextOfJob]:
    document, offset = 0, job.offset
    for segment in segments(job.unit, reading, Faults(reading.skip_bad_files), job.ends):
        text, ends = segment.text, segment.ends
        for piece in job.split.pieces(document):
            start = max(piece.start - offset, 0)
            end = len(text) if piece.end is None else min(piece.end - offset, len(text))
            closes = ends and piece.end is None and job.last[piece.split] != document
            if end > start or (closes and start <= len(text)):
                found = text[start:end]
                yield TextOfJob(piece.split, found, closes, offset + start, segment.record)
        document, offset = (document + 1, 0) if ends else (document, offset + len(text))


def dtype_of(vocab_size: int) -> str:
    return next(kind for kind, most in _TYPES.items() if vocab_size <= most)
