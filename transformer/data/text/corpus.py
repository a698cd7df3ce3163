"""A text file -> its ids in one array, split into training and validation. Imports no torch."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer.data.built_in.shakespeare import provide_corpus
from transformer.data.record import digest, record_of
from transformer.data.tokenizers.characters import CharacterTokenizer
from transformer.system.errors import UserError
from transformer.system.files import describe_nuls, read_text

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Text:
    """A corpus as read: line ends are LF, a byte order mark is gone."""

    characters: str
    num_carriage_returns: int
    line_end: str = "CRLF"  # before it became LF

    @property
    def sha256(self) -> str:
        """Of the UTF-8 bytes of the text as read, so that line ends do not make another corpus."""
        return digest(self.characters)


def read_corpus(path: str | Path, *, build: bool = False) -> Text:
    """The text of a UTF-8 file; with `build`, a built-in corpus that is missing is built first.

    Raises: UserError for a file that is missing, a folder, empty or not UTF-8.
    """
    provide_corpus(path, "text file", build=build)
    text, num_carriage_returns, line_end = read_text(path, "text file")
    if not text:
        raise UserError(
            f"{path}: the file is empty; give a text of a few thousand characters or more"
        )
    if nuls := describe_nuls(text):
        log.warning("%s: %s", path, nuls)
    return Text(text, num_carriage_returns, line_end)


def num_train(num_tokens: int, val_fraction: float) -> int:
    """Tokens in the training split, the corpus's head; the tail of `val_fraction` is validation."""
    return int(num_tokens * (1 - val_fraction))


@dataclass(frozen=True)
class Corpus:
    """Ids in one array. `tokens` may be any array that slices like NumPy's, a memory map too."""

    tokens: NDArray[np.int32]
    tokenizer: CharacterTokenizer
    sha256: str
    num_carriage_returns: int = 0
    line_end: str = "CRLF"

    @classmethod
    def from_file(cls, path: str | Path, *, build: bool = False) -> "Corpus":
        text = read_corpus(path, build=build)
        tokenizer = CharacterTokenizer.from_text(text.characters)
        tokens = tokenizer.encode(text.characters)
        return cls(tokens, tokenizer, text.sha256, text.num_carriage_returns, text.line_end)

    def facts(self, val_fraction: float) -> dict[str, Any]:
        """For a model's file: which text this is, and which of it trained the model."""
        cut = num_train(len(self.tokens), val_fraction)
        text, train = self.tokenizer.decode(self.tokens), self.tokenizer.decode(self.tokens[:cut])
        facts = {"sha256": self.sha256, "num_tokens": len(self.tokens)}
        return facts | record_of(text, len(train))

    def split(self, val_fraction: float) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Training and validation tokens; no position is in both."""
        cut = num_train(len(self.tokens), val_fraction)
        return self.tokens[:cut], self.tokens[cut:]


def check_length(num_tokens: int, val_fraction: float, block_size: int, path: str | Path) -> None:
    """Raises: UserError where a split is shorter than one chunk and its target."""
    train = num_train(num_tokens, val_fraction)
    for name, size in (("training", train), ("validation", num_tokens - train)):
        if size < block_size + 1:
            raise UserError(
                f"{path}: {num_tokens:,} characters leave {size:,} for {name} "
                f"(val_fraction={val_fraction:g}), and one chunk needs block_size + 1 = "
                f"{block_size + 1:,}: give a longer text, or change block_size or val_fraction"
            )
