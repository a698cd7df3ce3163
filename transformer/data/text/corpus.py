"""Reads a text file as ids in one array, split into training and validation. Imports no torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer.data.built_in.registry import read_source
from transformer.data.record import digest, record_of
from transformer.data.text.encoding import encoded
from transformer.data.text.split import cut_at
from transformer.data.tokenizer_choice import TokenizerChoice
from transformer.data.tokenizers.base import Tokenizer
from transformer.system.errors import UserError

_BEGINNING = 1_000_000  # characters
CHARACTERS = TokenizerChoice()


@dataclass(frozen=True)
class Text:
    """A text as read from its file: line ends are LF, and a byte order mark is removed."""

    characters: str
    note: str = ""  # about the line ends of the file

    @property
    def sha256(self) -> str:
        """The hash of the text as read, in UTF-8; it does not depend on the file's line ends."""
        return digest(self.characters)


def read_corpus(path: str | Path, *, build: bool = False, any_bytes: bool = False) -> Text:
    """Reads a UTF-8 file; with `build`, a built-in corpus that is missing is built first.

    With `any_bytes`, any file is read: see `transformer.system.files.read_text`.

    Raises: UserError if the file is missing, is a folder, is empty, or is not UTF-8.
    """
    read = read_source(path, "text file", build=build, any_bytes=any_bytes)
    if not read.text:
        raise UserError(
            f"{path}: the file is empty; give a text of a few thousand characters or more"
        )
    return Text(read.text, read.note)


@dataclass(frozen=True)
class Corpus:
    """The ids of a text in one array: the training split, then the validation split.

    `tokens` may be any array that slices like a NumPy array, such as a memory map.
    """

    tokens: NDArray[np.int32]
    tokenizer: Tokenizer
    num_train: int  # tokens of the training split
    facts: Mapping[str, Any] = field(default_factory=dict)  # stored in a model's file
    beginning: str = ""  # of the text
    note: str = ""  # about the line ends of the file

    @classmethod
    def from_file(
        cls,
        path: str | Path,
        *,
        val_fraction: float = 0.1,
        choice: TokenizerChoice = CHARACTERS,
        build: bool = False,
    ) -> "Corpus":
        text = read_corpus(path, build=build, any_bytes=choice.reads_any_file)
        return cls.from_text(text, cut_at(len(text.characters), val_fraction), choice)

    @classmethod
    def from_text(cls, text: Text, cut: int, choice: TokenizerChoice = CHARACTERS) -> "Corpus":
        made = choice.make(text.characters, cut)
        return cls.encoded_by(made, text, cut, choice.cache_dir)

    @classmethod
    def encoded_by(
        cls, made: Tokenizer, text: Text, cut: int, cache_dir: str | None = None
    ) -> "Corpus":
        """Encodes the text before and after character `cut` separately, so no token is in both."""
        characters = text.characters
        parts = characters[:cut], characters[cut:]
        train, val = (encoded(made, part, cache_dir) for part in parts)
        tokens = np.concatenate((train, val))
        facts = {"sha256": text.sha256, "num_tokens": len(tokens)} | record_of(characters, cut)
        return cls(tokens, made, len(train), facts, characters[:_BEGINNING], text.note)

    @property
    def sha256(self) -> str:
        return self.facts["sha256"]

    @property
    def train(self) -> NDArray[np.int32]:
        return self.tokens[: self.num_train]

    @property
    def val(self) -> NDArray[np.int32]:
        return self.tokens[self.num_train :]

    def check_length(self, block_size: int, val_fraction: float, path: str | Path) -> None:
        for name, split in (("training", self.train), ("validation", self.val)):
            if len(split) < block_size + 1:
                raise UserError(
                    f"{path}: {len(self.tokens):,} {self.tokenizer.units} leave {len(split):,} for "
                    f"{name} (val_fraction={val_fraction:g}), but one chunk needs block_size + 1 = "
                    f"{block_size + 1:,}: give a longer text, or change block_size or val_fraction"
                )
