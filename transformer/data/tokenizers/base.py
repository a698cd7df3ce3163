"""The base class of the tokenizers of texts. Imports no torch."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

from numpy import int32
from numpy.typing import ArrayLike, NDArray

from transformer.system.errors import UserError


class TextSize(NamedTuple):
    """The length of the text of some tokens: a loss per character or per byte divides by it."""

    num_characters: int | None  # Unicode code points; None for bytes that are no UTF-8
    num_bytes: int  # in UTF-8


class Tokenizer(ABC):
    """Text <-> ids. The `name` of a subclass in this folder is a value of the key `tokenizer`."""

    name: ClassVar[str]
    units: ClassVar[str]  # the word for its tokens in messages
    keys: ClassVar[tuple[str, ...]] = ()  # keys of a config that `from_text` also takes
    reads_any_file: ClassVar[bool] = False  # also one that is no UTF-8
    is_learned: ClassVar[bool] = False  # a resumed run takes it from its checkpoint
    kept_from: ClassVar[int | None] = None  # characters from which ids are kept in the cache folder
    bits_per: ClassVar[str] = "byte"  # or char: for a loss in one number

    pieces: Sequence[str]  # each id as a person reads it
    end_of_text: int | None = None  # the id that ends a text, if it has one

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

    @property
    def spec(self) -> dict[str, Any]:
        """The content of a `tokenizer.json` with which other programs find the same ids.

        Raises: UserError for a tokenizer or a vocabulary that such a file cannot hold.
        """
        raise UserError(f"a tokenizer of {self.units} cannot be written for other programs")

    @classmethod
    def from_spec(cls, spec: dict[str, Any]) -> "Tokenizer | None":
        """The tokenizer of which this is the `spec`, or None if it is of another class.

        Raises: ValueError for a spec that is damaged.
        """
        return None

    @abstractmethod
    def encode_known(self, text: str) -> tuple[NDArray[int32], int]:
        """The ids of a text's known units, and the number of unknown units."""

    @abstractmethod
    def unknown(self, text: str) -> list[str]:
        """The units of a text that have no id, sorted, each once."""

    @abstractmethod
    def encode(self, text: str) -> NDArray[int32]:
        """Raises: UserError that names the unknown units of the text."""

    def encode_as(self, text: str, dtype: str) -> NDArray[Any]:
        """`encode`, as numbers of a type that holds all ids."""
        return self.encode(text).astype(dtype)

    @abstractmethod
    def decode(self, ids: ArrayLike) -> str: ...

    @abstractmethod
    def size(self, ids: ArrayLike) -> TextSize: ...

    def ended_by(self, token: int) -> "Tokenizer":
        """The same tokenizer with another token that ends a text, if it has such a token."""
        return self

    def grown(self, symbols: str) -> "Tokenizer":
        """One that also knows these characters; all ids stay as they are."""
        return self

    def bytes_of(self, token: int) -> bytes:
        """The UTF-8 of a token, which may be a part of a character."""
        return self.pieces[token].encode("utf-8", "surrogatepass")

    def without_last(self, tokens: list[int]) -> tuple[list[int], bytes]:
        """The tokens of a prompt without the last, and its bytes, if other tokens begin so too.

        A prompt keeps at least one token.
        """
        return tokens, b""

    def drop_unknown(self, text: str) -> tuple[str, int]:
        """The text without its unknown units, and the number of these."""
        known, num_dropped = self.encode_known(text)
        return (self.decode(known), num_dropped) if num_dropped else (text, 0)

    def described(self, num_tokens: int) -> str:
        """The vocabulary, and the number of tokens of a text, in words."""
        return f"{num_tokens:,} {self.units} of a vocabulary of {self.vocab_size:,}"

    @property
    def vocab_size(self) -> int:
        return len(self.pieces)

    @property
    def sizes(self) -> dict[str, int]:
        return {"vocab_size": self.vocab_size}
