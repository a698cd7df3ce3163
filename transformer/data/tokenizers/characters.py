"""One token for each character. Imports no torch."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transformer.data.tokenizers.base import TextSize, Tokenizer
from transformer.data.tokenizers.hugging_face import same_tokenizer, spec_without_merges
from transformer.data.tokenizers.unknown import unknown_units
from transformer.system.errors import UserError

_UNKNOWN = -1
_BLOCK = 1 << 16  # characters that are looked up at once: few enough for the processor's cache
_LARGEST = np.array([0x7F, 0x7FF, 0xFFFF])  # code points of 1, 2 and 3 bytes of UTF-8


def code_points(text: str) -> NDArray[np.uint32]:
    """One number for each character, also for lone surrogates, which a shell may pass."""
    return np.frombuffer(text.encode("utf-32-le", errors="surrogatepass"), dtype="<u4")


class CharacterTokenizer(Tokenizer):
    """Each code point of the vocabulary is one token; its id is its place in the vocabulary.

    Raises: ValueError if the vocabulary is empty, or has a character twice.
    """

    name = units = "characters"
    bits_per = "char"

    def __init__(self, vocabulary: str) -> None:
        if not vocabulary or len(vocabulary) != len(set(vocabulary)):
            raise ValueError("a vocabulary must be one or more distinct characters")
        self.vocabulary = self.pieces = vocabulary
        self._characters = code_points(vocabulary)
        self._ids = np.full(int(self._characters.max()) + 2, _UNKNOWN, dtype=np.int32)
        self._ids[self._characters] = np.arange(len(vocabulary), dtype=np.int32)
        # The first 256 code points are one byte each in Latin-1, and so are most of their ids.
        first = enumerate(map(ord, vocabulary[:256]))
        found = [(point, place) for place, point in first if point < 256]
        self._latin_1 = bytes(dict(found).get(point, 0) for point in range(256))
        self._known = bytes(point for point, _ in found)

    @classmethod
    def from_text(cls, text: str, num_train: int | None = None) -> "CharacterTokenizer":
        """Takes the characters of the whole text, so validation has no unknown characters."""
        counts = np.bincount(code_points(text), minlength=1)
        return cls("".join(map(chr, np.flatnonzero(counts))))

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "CharacterTokenizer":
        if not isinstance(state.get("vocabulary"), str):
            raise ValueError("not the state of a character tokenizer")
        return cls(state["vocabulary"])

    @property
    def state(self) -> dict[str, Any]:
        return {"kind": "character", "vocabulary": self.vocabulary}

    @property
    def spec(self) -> dict[str, Any]:
        """Leaves out unknown characters, as `drop_unknown` does."""
        if lone := [c for c in self.vocabulary if "\ud800" <= c <= "\udfff"]:
            raise UserError(
                f"the vocabulary has {lone[0]!r}, half of a character, which no tokenizer.json can "
                "hold: train on a text without it, or with `tokenizer=bytes`"
            )
        ids = {character: id_ for id_, character in enumerate(self.vocabulary)}
        return spec_without_merges(ids, [], decoder={"type": "Fuse"})

    @classmethod
    def from_spec(cls, spec: dict[str, Any]) -> "CharacterTokenizer | None":
        model = spec.get("model")
        ids = model.get("vocab") if isinstance(model, dict) else None
        if not isinstance(ids, dict) or any(len(name) != 1 for name in ids):
            return None
        vocabulary = "".join(sorted(ids, key=lambda name: str(ids[name]).zfill(9)))
        made = cls(vocabulary) if vocabulary else None
        return made if made is not None and same_tokenizer(made.spec, spec) else None

    def grown(self, symbols: str) -> "CharacterTokenizer":
        new = sorted(set(symbols) - set(self.vocabulary))
        return CharacterTokenizer(self.vocabulary + "".join(new)) if new else self

    def described(self, num_tokens: int) -> str:
        return f"{self.vocab_size} symbols"

    def encode(self, text: str, *, skip_unknown: bool = False) -> NDArray[np.int32]:
        """One id for each character; `skip_unknown` drops unknown characters."""
        if skip_unknown:
            return self.encode_known(text)[0]
        return self.encode_as(text, "i4")

    def encode_as(self, text: str, dtype: str) -> NDArray[Any]:
        ids = np.empty(len(text), dtype)
        at = 0
        for found in self._lookup(text):
            if found.dtype == np.int32 and found.min() == _UNKNOWN:
                raise unknown_units(self.units, self.unknown(text))
            ids[at : at + found.size] = found
            at += found.size
        return ids

    def encode_known(self, text: str) -> tuple[NDArray[np.int32], int]:
        ids = np.concatenate([np.empty(0, np.int32), *self._lookup(text)])
        known = ids[ids != _UNKNOWN]
        return known, ids.size - known.size

    def unknown(self, text: str) -> list[str]:
        return sorted(set(text) - set(self.vocabulary))

    def decode(self, ids: ArrayLike) -> str:
        """`decode(encode(text)) == text`."""
        characters = self._characters[np.asarray(ids, dtype=np.int64)]
        return characters.astype("<u4").tobytes().decode("utf-32-le", errors="surrogatepass")

    def size(self, ids: ArrayLike) -> TextSize:
        num_bytes = 1 + np.searchsorted(_LARGEST, self._characters)
        ids = np.asarray(ids, dtype=np.int64)
        return TextSize(ids.size, int(num_bytes[ids].sum()))

    def _lookup(self, text: str) -> Iterator[NDArray[Any]]:
        """The ids of one block after the other, with _UNKNOWN for an unknown character."""
        for at in range(0, len(text), _BLOCK):
            block = text[at : at + _BLOCK]
            with suppress(UnicodeEncodeError):
                data = block.encode("latin-1")
                if not data.translate(None, self._known):
                    yield np.frombuffer(data.translate(self._latin_1), np.uint8)
                    continue
            # Code points beyond the table use its last entry, which is _UNKNOWN.
            yield self._ids.take(code_points(block), mode="clip")
