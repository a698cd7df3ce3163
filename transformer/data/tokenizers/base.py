"""The base class of the tokenizers of texts. Imports no torch."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

from numpy import int32
from numpy.typing import ArrayLike, NDArray


class TextSize(NamedTuple):
    """The length of the text of some tokens: a loss per character or per byte divides by it."""

    num_characters: int  # Unicode code points
    num_bytes: int  # in UTF-8


class Tokenizer(ABC):
    """Text <-> ids. The `name` of a subclass in this folder is a value of the key `tokenizer`."""

    name: ClassVar[str]
    units: ClassVar[str]  # the word for its tokens in messages
    pieces: Sequence[str]  # the text of each id, for output

    @classmethod
    @abstractmethod
    def from_text(cls, text: str, num_train: int) -> "Tokenizer":
        """Makes a tokenizer for a text; its first `num_train` characters are the training split."""

    @classmethod
    @abstractmethod
    def from_state(cls, state: dict[str, Any]) -> "Tokenizer":
        """Raises: ValueError if this class did not write the state."""

    @property
    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Plain values for a model's file; `kind` tells which tokenizer it is."""

    @abstractmethod
    def encode_known(self, text: str) -> tuple[NDArray[int32], int]:
        """The ids of a text's known units, and the number of unknown units."""

    @abstractmethod
    def unknown(self, text: str) -> list[str]:
        """The units of a text that have no id, sorted, each once."""

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
        return {"vocab_size": self.vocab_size}
