"""Reads a text file as ids in one array, split into training, validation and test. No torch."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from transformer.data.built_in.registry import provide_corpus
from transformer.data.record import digest, record_of
from transformer.data.sources.encodings import read_as_text
from transformer.data.text.encoding import encoded
from transformer.data.text.split import Cuts, cuts_at
from transformer.data.tokenizer_choice import TokenizerChoice
from transformer.data.tokenizers.base import TextSize, Tokenizer
from transformer.system.errors import UserError
from transformer.system.files import describe_nuls, read_bytes

_BEGINNING = 1_000_000  # characters
CHARACTERS = TokenizerChoice()

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Text:
    """A text as read from its file: line ends are LF, and a byte order mark is removed."""

    characters: str
    note: str = ""  # about the line ends of the file

    @property
    def sha256(self) -> str:
        """The hash of the text as read, in UTF-8; it does not depend on the file's line ends."""
        return digest(self.characters)


def read_corpus(
    path: str | Path, *, build: bool = False, any_bytes: bool = False, encoding: str = "utf-8"
) -> Text:
    """Reads one file; with `build`, a built-in corpus that is missing is built first.

    With `any_bytes`, any file is read: see `transformer.system.files.read_text`.

    Raises: UserError if the file is missing, is a folder, is empty, or has another encoding.
    """
    provide_corpus(path, "text file", build=build)
    data = read_bytes(path, "text file")
    read = read_as_text(data, str(path), encoding, any_bytes=any_bytes)
    if not any_bytes and (nuls := describe_nuls(read.text)):
        log.warning("%s: %s", path, nuls)
    if not read.text:
        raise UserError(
            f"{path}: the file is empty; give a text of a few thousand characters or more"
        )
    return Text(read.text, read.note)


class Part(NamedTuple):
    weight: int | float | Fraction
    num_tokens: int  # of the training split


def mix_of(weights: Sequence[int | float] | None, lengths: Sequence[int]) -> list[Part]:
    """The weighted parts, from the tokens of each part; what comes behind them has no weight."""
    weights = weights or ()
    return [Part(*pair) for pair in zip(weights, lengths[: len(weights)], strict=True)]


@dataclass(frozen=True)
class Corpus:
    """The ids of a text in one array: the training split, the validation split, the test split.

    `tokens` may be any array that slices like a NumPy array, such as a memory map.
    """

    tokens: NDArray[Any]
    tokenizer: Tokenizer
    num_train: int  # tokens of the training split
    facts: Mapping[str, Any] = field(default_factory=dict)  # stored in a model's file
    beginning: str = ""  # of the text
    note: str = ""  # about the line ends of the file
    num_test: int = 0  # tokens of the test split
    mix: Sequence[Part] = ()  # the parts of the training split, if they have weights
    val_size: TextSize | None = None  # of `val` without its first token; None: not known yet
    old_val: NDArray[Any] | None = None  # of the text of the model that a run starts from

    @classmethod
    def from_file(
        cls,
        path: str | Path,
        *,
        val_fraction: float = 0.1,
        test_fraction: float = 0.0,
        choice: TokenizerChoice = CHARACTERS,
        build: bool = False,
        encoding: str = "utf-8",
    ) -> "Corpus":
        text = read_corpus(path, build=build, any_bytes=choice.reads_any_file, encoding=encoding)
        return cls.from_text(
            text, cuts_at(len(text.characters), val_fraction, test_fraction), choice
        )

    @classmethod
    def from_text(cls, text: Text, cuts: Cuts, choice: TokenizerChoice = CHARACTERS) -> "Corpus":
        made = choice.make(text.characters, cuts.train)
        return cls.encoded_by(made, text, cuts, choice.cache_dir)

    @classmethod
    def encoded_by(
        cls, made: Tokenizer, text: Text, cuts: Cuts, cache_dir: str | None = None
    ) -> "Corpus":
        """Encodes each split separately, so that no token is in two of them."""
        characters = text.characters
        train, val, test = (encoded(made, part, cache_dir) for part in cuts.parts(characters))
        tokens = np.concatenate((train, val, test))
        num_val = cuts.val - cuts.train if cuts.val < len(characters) else None
        facts = {"sha256": text.sha256, "num_tokens": len(tokens)}
        facts |= record_of(characters, cuts.train, num_val)
        beginning = characters[:_BEGINNING]
        return cls(tokens, made, len(train), facts, beginning, text.note, len(test))

    @property
    def sha256(self) -> str:
        return self.facts["sha256"]

    @property
    def train(self) -> NDArray[Any]:
        return self.tokens[: self.num_train]

    @property
    def val(self) -> NDArray[Any]:
        return self.tokens[self.num_train : len(self.tokens) - self.num_test]

    @property
    def test(self) -> NDArray[Any]:
        return self.tokens[len(self.tokens) - self.num_test :]

    def with_replay(self, old: "Corpus", fraction: float) -> "Corpus":
        """With the training split of another corpus, whose chunks have this share of the order."""
        share = Fraction(str(fraction))
        own = self.mix or [Part(1, self.num_train)]
        total = sum(Fraction(str(part.weight)) for part in own)
        parts = [Part(Fraction(str(w)) / total * (1 - share), length) for w, length in own]
        return replace(
            self,
            tokens=np.concatenate((self.train, old.train, self.val, self.test)),
            num_train=self.num_train + old.num_train,
            mix=[*parts, Part(share, old.num_train)],
        )

    def check_length(self, block_size: int, val_fraction: float, path: str | Path) -> None:
        splits, kept = [("training", self.train), ("validation", self.val)], ""
        if self.num_test:
            splits.append(("the test", self.test))
            kept = f", test: {self.num_test:,}"
        for name, split in splits:
            if len(split) < block_size + 1:
                raise UserError(
                    f"{path}: {len(self.tokens):,} {self.tokenizer.units} leave {len(split):,} for "
                    f"{name} (val_fraction={val_fraction:g}{kept}), but one chunk needs "
                    f"block_size + 1 = {block_size + 1:,}: give a longer text, or change "
                    "block_size or the fractions"
                )
        for number, part in enumerate(self.mix, start=1):
            if part.num_tokens < block_size + 1:
                raise UserError(
                    f"{path}: part {number} of data_path has {part.num_tokens:,} "
                    f"{self.tokenizer.units} for training, but one chunk needs block_size + 1 = "
                    f"{block_size + 1:,}: give it a longer text, or leave out data_weights"
                )
