"""What every tokenizer of a text can do. Imports no torch."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

from numpy import int32
from numpy.typing import ArrayLike, NDArray


class TextSize(NamedTuple):
    """How much text some tokens stand for: a loss per character or per byte divides by this."""

    num_characters: int  # Unicode code points
    num_bytes: int  # in UTF-8


class Tokenizer(ABC):
    """Text <-> ids. A subclass in a file of this folder is a value of the key `tokenizer`."""

    name: ClassVar[str]
    units: ClassVar[str]  # what its tokens are called in messages
    pieces: Sequence[str]  # the text of each id, to be shown

    @classmethod
    @abstractmethod
    def from_text(cls, text: str, num_train: int) -> "Tokenizer":
        """Made for a corpus, whose first `num_train` characters are its training split."""

    @classmethod
    @abstractmethod
    def from_state(cls, state: dict[str, Any]) -> "Tokenizer":
        """Raises: ValueError for a state that this class did not write."""

    @property
    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Plain values for a model's file; `kind` is the name."""

    @abstractmethod
    def encode_known(self, text: str) -> tuple[NDArray[int32], int]:
        """The ids of a text, and how many units of it were left out because they are unknown."""

    @abstractmethod
    def unknown(self, text: str) -> list[str]:
        """The units of a text that no id stands for, sorted, each once."""

    @abstractmethod
    def encode(self, text: str) -> NDArray[int32]:
        """Raises: UserError that names the unknown units of the text."""

    @abstractmethod
    def decode(self, ids: ArrayLike) -> str: ...

    @abstractmethod
    def size(self, ids: ArrayLike) -> TextSize: ...

    @property
    def vocab_size(self) -> int:
        return len(self.pieces)

    @property
    def sizes(self) -> dict[str, int]:
        """The arguments of a model that depend on the tokenizer."""
        return {"vocab_size": self.vocab_size}
