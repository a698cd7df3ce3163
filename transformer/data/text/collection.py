"""A corpus of many documents, held in memory. Imports no torch."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from transformer.data.record import digest, identity_of
from transformer.data.sources.cleaning import Cleaning, cleaning_of
from transformer.data.sources.reading import (
    Document,
    Documents,
    document_digest,
    read_documents,
    shown,
)
from transformer.data.text.corpus import Corpus, mix_of
from transformer.data.text.documents import (
    SPLITS,
    TRAIN,
    Split,
    keys_of,
    last_documents,
    note_of_left_out,
    split_of,
)
from transformer.data.text.encoding import kept_ids
from transformer.data.text.settings import TextSettings
from transformer.data.tokenizer_choice import TokenizerChoice
from transformer.data.tokenizers.base import Tokenizer
from transformer.system.progress import progress

_BEGINNING = 1_000_000  # characters
MOST_FILES = 10_000  # whose digests a model's file keeps


class Placed(NamedTuple):
    """A part of a document in a split; `ends` if another document follows it there."""

    split: int
    part: int
    text: str
    ends: bool


@dataclass(frozen=True)
class Collection:
    """Documents in order; those of `val_path` come last."""

    documents: Sequence[Document]
    parts: NDArray[np.int64]  # of the data_path, by document
    num_validation: int  # documents of val_path
    source: Documents
    cleaning: Cleaning | None = None  # that these documents went through

    @classmethod
    def read(
        cls, data_path: Any, settings: TextSettings, choice: TokenizerChoice, *, build: bool
    ) -> "Collection":
        reading = settings.reading(any_bytes=choice.reads_any_file)
        read = read_documents(data_path, reading, build=build)
        validation = None
        if settings.val_path is not None:
            validation = read_documents(settings.val_path, reading, build=build)
        cleaning = None
        if settings.counts:
            documents = read.every + (validation.every if validation else [])
            cleaning = cleaning_of([one.text for one in documents], **settings.as_counted)
            read = read.cleaned(cleaning)
            read.check(data_path)
            if validation and settings.val_path:
                validation = validation.cleaned(cleaning)
                validation.check(settings.val_path)
        numbers = [number for number, part in enumerate(read.parts) for _ in part]
        own = validation.every if validation else []
        parts = np.array(numbers + [len(read.parts)] * len(own), dtype=np.int64)
        return cls(read.every + own, parts, len(own), read, cleaning)

    def corpus(self, settings: TextSettings, choice: TokenizerChoice) -> Corpus:
        keys, split = self.keys, self.split(settings)
        placed = list(self._placed(split))
        separator = settings.separator if len(self.documents) > 1 else ""
        train, rest = (
            separator.join(piece.text for piece in placed if (piece.split == TRAIN) == wanted)
            for wanted in (True, False)
        )
        tokenizer = choice.make(train + separator + rest, len(train))
        facts = self._facts()
        ids, lengths = self._encoded(tokenizer, placed, separator, facts, settings, choice)
        by_split = lengths.sum(axis=1).tolist()
        return Corpus(
            ids,
            tokenizer,
            by_split[TRAIN],
            facts | {"num_tokens": len(ids)},
            separator.join(document.text for document in self.documents[:1000])[:_BEGINNING],
            self._note(note_of_left_out(split, keys, settings, num_own=self.num_validation)),
            by_split[-1],
            mix_of(settings.data_weights, lengths[TRAIN].tolist()),
        )

    def known_to(self, tokenizer: Tokenizer) -> tuple["Collection", int]:
        """The documents without the units that a tokenizer lacks, and the number of these."""
        found = [tokenizer.drop_unknown(text) for text in self.texts]
        documents = [
            document._replace(text=text)
            for document, (text, _) in zip(self.documents, found, strict=True)
        ]
        return replace(self, documents=documents), sum(number for _, number in found)

    @property
    def texts(self) -> list[str]:
        return [document.text for document in self.documents]

    @cached_property
    def _digests(self) -> list[bytes]:
        return [document_digest(text) for text in self.texts]

    @property
    def keys(self) -> NDArray[np.uint64]:
        return keys_of(self._digests)

    def split(self, settings: TextSettings) -> Split:
        lengths = np.array(list(map(len, self.texts)), dtype=np.int64)
        return split_of(self.keys, lengths, self.parts, settings, num_own=self.num_validation)

    def _placed(self, split: Split) -> Iterator[Placed]:
        """In the order of the splits; within one, in the order of the documents."""
        pieces = [
            (piece, number)
            for number in range(len(self.documents))
            for piece in split.pieces(number)
        ]
        last = last_documents(split, len(self.documents))
        for wanted in SPLITS:
            for piece, number in pieces:
                if piece.split == wanted:
                    text = self.documents[number].text[piece.start : piece.end]
                    ends = piece.end is None and number != last[wanted]
                    yield Placed(wanted, int(self.parts[number]), text, ends)

    def _encoded(
        self,
        tokenizer: Tokenizer,
        placed: Sequence[Placed],
        separator: str,
        facts: Mapping[str, Any],
        settings: TextSettings,
        choice: TokenizerChoice,
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """All ids, and how many each split has of each part."""
        ending = ending_of(tokenizer, separator)
        num_parts = len(self.source.parts) + 1
        # The lengths come first, so that one array has all that is kept.
        head = len(SPLITS) * num_parts

        def make() -> NDArray[np.int32]:
            lengths = np.zeros((len(SPLITS), num_parts), np.int64)
            found = []
            with progress("encoding", length, " characters") as bar:
                for piece in placed:
                    ids = tokenizer.encode(piece.text)
                    found += [ids, ending] if piece.ends else [ids]
                    lengths[piece.split, piece.part] += len(ids) + len(ending) * piece.ends
                    bar.update(len(piece.text))
            return np.concatenate([lengths.reshape(-1).astype(np.int32), *found])

        length = sum(len(piece.text) for piece in placed)
        key = json.dumps([facts["sha256"], split_key(settings), separator]).encode()
        both = kept_ids(
            tokenizer, hashlib.sha256(key).hexdigest(), length, make, choice.cache_dir, head
        )
        return both[head:], both[:head].astype(np.int64).reshape(len(SPLITS), num_parts)

    def _facts(self) -> dict[str, Any]:
        """What a model's file holds about its documents."""
        facts: dict[str, Any] = {
            "sha256": self.sha256,
            "num_characters": sum(map(len, self.texts)),
            "num_documents": len(self.documents),
        }
        by_file = self._by_file()
        files = {shown(file): found.hex()[:12] for (_, file), found in by_file.items()}
        return facts | ({"files": files} if len(files) <= MOST_FILES else {})

    def _by_file(self) -> dict[tuple[int, str], bytes]:
        """The digest of all documents of each file, by part and file."""
        names = [
            (int(part), document.file)
            for part, document in zip(self.parts, self.documents, strict=True)
        ]
        groups = groupby(zip(names, self._digests, strict=True), key=lambda pair: pair[0])
        return {
            name: hashlib.sha256(b"".join(one for _, one in group)).digest()
            for name, group in groups
        }

    @property
    def sha256(self) -> str:
        """Of a single document, the sha256 of its text, as for a file of plain text."""
        if len(self.documents) == 1:
            return digest(self.documents[0].text)
        return identity_of([(part, found) for (part, _), found in self._by_file().items()])

    def _note(self, left_out: str) -> str:
        files, number = self.source.num_files, len(self.documents)
        note = f", {number:,} document{'s' * (number != 1)} in {files:,} file{'s' * (files != 1)}"
        note += left_out + (self.cleaning.note if self.cleaning else "")
        if self.source.num_no_text:
            note += f", {self.source.num_no_text:,} files of folders are no text"
        return note + self.source.faults.note


def ending_of(tokenizer: Tokenizer, separator: str) -> NDArray[np.int32]:
    """The ids between two documents: the end of a text, or those of a separator."""
    if separator and tokenizer.end_of_text is not None:
        return np.array([tokenizer.end_of_text], dtype=np.int32)
    return tokenizer.encode(separator) if separator else np.zeros(0, np.int32)


def split_key(settings: TextSettings) -> list[Any]:
    """The values on which the split of given documents depends."""
    own = settings.val_path is not None
    is_mix = settings.data_weights is not None
    return [own, settings.val_fraction, settings.test_fraction, is_mix, settings.drop_duplicates]
