"""Text <-> integer ids, with a state of plain strings. Imports no torch."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer.data.tokenizers.pairs import PairTokenizer
from transformer.data.tokenizers.unknown import unknown_characters

_UNKNOWN = -1


def _code_points(text: str) -> NDArray[np.uint32]:
    """One number a character; lone surrogates, which a shell may hand over, are let through."""
    return np.frombuffer(text.encode("utf-32-le", errors="surrogatepass"), dtype="<u4")


class CharacterTokenizer:
    """Each code point of the vocabulary is one token; ids follow the code points' order.

    Raises: ValueError for a vocabulary that is empty, unsorted or holds a character twice.
    """

    kind = "character"
    units = "characters"

    def __init__(self, vocabulary: str) -> None:
        if not vocabulary or list(vocabulary) != sorted(set(vocabulary)):
            raise ValueError("a vocabulary is one or more distinct characters in sorted order")
        self.vocabulary = vocabulary
        self._characters = _code_points(vocabulary)
        self._ids = np.full(int(self._characters[-1]) + 2, _UNKNOWN, dtype=np.int32)
        self._ids[self._characters] = np.arange(len(vocabulary), dtype=np.int32)

    @classmethod
    def from_text(cls, text: str) -> "CharacterTokenizer":
        """The distinct code points of `text`."""
        counts = np.bincount(_code_points(text), minlength=1)
        return cls("".join(map(chr, np.flatnonzero(counts))))

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "CharacterTokenizer":
        if state.get("kind") != cls.kind or not isinstance(state.get("vocabulary"), str):
            raise ValueError("not the state of a character tokenizer")
        return cls(state["vocabulary"])

    @property
    def state(self) -> dict[str, Any]:
        """Plain strings, for a checkpoint."""
        return {"kind": self.kind, "vocabulary": self.vocabulary}

    @property
    def vocab_size(self) -> int:
        return len(self.vocabulary)

    @property
    def sizes(self) -> dict[str, int]:
        """What a model must be built for, by the names that it has there."""
        return {"vocab_size": self.vocab_size}

    def encode(self, text: str, *, skip_unknown: bool = False) -> NDArray[np.int32]:
        """One id a character.

        Raises: UserError that names the characters outside the vocabulary, unless `skip_unknown`.
        """
        if skip_unknown:
            return self.encode_known(text)[0]
        ids = self._lookup(text)
        if ids.size and ids.min() == _UNKNOWN:
            raise unknown_characters({text[i] for i in np.flatnonzero(ids == _UNKNOWN)})
        return ids

    def encode_known(self, text: str) -> tuple[NDArray[np.int32], int]:
        """The ids of the characters in the vocabulary, and how many others were dropped."""
        ids = self._lookup(text)
        known = ids[ids != _UNKNOWN]
        return known, ids.size - known.size

    def decode(self, ids: Any) -> str:
        """The text of a sequence of ids; `decode(encode(text)) == text`."""
        characters = self._characters[np.asarray(ids, dtype=np.int64)]
        return characters.astype("<u4").tobytes().decode("utf-32-le", errors="surrogatepass")

    def _lookup(self, text: str) -> NDArray[np.int32]:
        """Characters past the table's end share its last entry, which is unknown."""
        points = np.minimum(_code_points(text), np.uint32(len(self._ids) - 1))
        return self._ids[points]


TOKENIZERS = {CharacterTokenizer.kind: CharacterTokenizer, PairTokenizer.kind: PairTokenizer}


def tokenizer_from_state(state: Any) -> CharacterTokenizer | PairTokenizer:
    """Raises: ValueError for a state that no tokenizer here wrote."""
    if not isinstance(state, dict) or state.get("kind") not in list(TOKENIZERS):
        raise ValueError(f"no tokenizer of ours; known are {', '.join(TOKENIZERS)}")
    return TOKENIZERS[state["kind"]].from_state(state)
