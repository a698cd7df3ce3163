"""The tokenizers of the two sides of a pair. Imports no torch."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer.data.pairs.settings import PairSettings, Units
from transformer.data.tokenizers.bpe import BpeTokenizer
from transformer.data.tokenizers.unknown import unknown_units
from transformer.special_ids import NUM_SPECIALS

_Side = tuple[str, ...]  # the units of one side of a pair

_SPLIT: dict[str, Callable[[str], list[str]]] = {
    "characters": list,
    "words": str.split,
    "pieces": lambda text: [text] if text else [],  # before the pieces are learned
}
_BETWEEN = {"characters": "", "words": " ", "pieces": ""}


def split_units(text: str, units: Units) -> list[str]:
    """The characters (code points) of a text, its words (what white space separates), or all of it
    where its pieces are still to be learned.
    """
    return _SPLIT[units](text)


def join_units(parts: Iterable[str], units: Units) -> str:
    """The text of some units, with one space between words."""
    return _BETWEEN[units].join(parts)


class Side(ABC):
    """Text <-> ids of one side of a pair; ids below NUM_SPECIALS are padding, begin and end."""

    units: Units
    vocabulary: Sequence[str]  # each id as a person reads it, without the special ones

    @classmethod
    @abstractmethod
    def made(
        cls, units: Units, sides: Sequence[_Side], train: Sequence[_Side], settings: PairSettings
    ) -> "Side":
        """For the units of all pairs, of which those in `train` are the training split's."""

    @property
    @abstractmethod
    def state(self) -> dict[str, Any]: ...

    @property
    def pieces(self) -> Sequence[str]:
        """The vocabulary, under the name that it has in tokenizers of a text."""
        return self.vocabulary

    @property
    @abstractmethod
    def words(self) -> Sequence[str]:
        """The vocabulary, if its entries stand for whole words or characters."""

    @abstractmethod
    def split(self, text: str) -> list[str]:
        """The text of each token."""

    @abstractmethod
    def encode(self, text: str, *, skip_unknown: bool = False) -> NDArray[np.int32]:
        """One id for each unit, without begin and end.

        Raises: UserError that names the unknown units; with `skip_unknown` they are dropped.
        """

    @abstractmethod
    def encode_known(self, text: str) -> tuple[NDArray[np.int32], int]: ...

    @abstractmethod
    def decode(self, ids: Any) -> str:
        """The text of a sequence of ids, without padding, begin and end."""

    @property
    def vocab_size(self) -> int:
        return NUM_SPECIALS + len(self.vocabulary)


class UnitTokenizer(Side):
    """One id for each unit, from NUM_SPECIALS on; lower ids are padding, begin and end.

    Raises: ValueError if the vocabulary is empty, has a unit twice, or has an entry that is not
    exactly one unit.
    """

    kind = "units"

    def __init__(self, units: Units, vocabulary: Sequence[str]) -> None:
        odd = [unit for unit in vocabulary if split_units(unit, units) != [unit]]
        if odd or not vocabulary or len(set(vocabulary)) < len(vocabulary):
            raise ValueError(f"a vocabulary must be a list of one or more distinct {units}")
        self.units: Units = units
        self.vocabulary = list(vocabulary)
        self._ids = {unit: id_ for id_, unit in enumerate(self.vocabulary, start=NUM_SPECIALS)}

    @classmethod
    def made(
        cls, units: Units, sides: Sequence[_Side], train: Sequence[_Side], settings: PairSettings
    ) -> "UnitTokenizer":
        """The vocabulary is of all pairs, so that validation has no unknown units."""
        return cls(units, sorted(set().union(*sides)))

    @classmethod
    def from_state(cls, state: Any) -> "UnitTokenizer":
        found: dict[str, Any] = state if isinstance(state, dict) else {}
        units: Any = found.get("units")
        vocabulary: Any = found.get("vocabulary")
        strings = isinstance(vocabulary, list) and all(isinstance(unit, str) for unit in vocabulary)
        if found.get("kind") != cls.kind or not isinstance(units, str) or not strings:
            raise ValueError("not the state of a tokenizer of units")
        if units not in ("characters", "words"):
            raise ValueError(f"units are characters or words, got {units!r}")
        return cls(units, vocabulary)

    @property
    def state(self) -> dict[str, Any]:
        return {"kind": self.kind, "units": self.units, "vocabulary": self.vocabulary}

    @property
    def words(self) -> Sequence[str]:
        return self.vocabulary

    def split(self, text: str) -> list[str]:
        return split_units(text, self.units)

    def join(self, parts: Iterable[str]) -> str:
        return join_units(parts, self.units)

    def encode(self, text: str, *, skip_unknown: bool = False) -> NDArray[np.int32]:
        ids, num_unknown = self.encode_known(text)
        if num_unknown and not skip_unknown:
            raise unknown_units(self.units, set(self.split(text)) - self._ids.keys())
        return ids

    def encode_known(self, text: str) -> tuple[NDArray[np.int32], int]:
        parts = self.split(text)
        known = [self._ids[unit] for unit in parts if unit in self._ids]
        return np.array(known, dtype=np.int32), len(parts) - len(known)

    def decode(self, ids: Any) -> str:
        numbers = np.asarray(ids, dtype=np.int64) - NUM_SPECIALS
        return self.join(self.vocabulary[int(number)] for number in numbers[numbers >= 0])


class PieceTokenizer(Side):
    """Byte pairs that are learned from this side of the training pairs."""

    kind = "pieces"
    units: Units = "pieces"

    def __init__(self, bpe: BpeTokenizer) -> None:
        self.bpe = bpe
        self.vocabulary = bpe.pieces

    @classmethod
    def made(
        cls, units: Units, sides: Sequence[_Side], train: Sequence[_Side], settings: PairSettings
    ) -> "PieceTokenizer":
        text = "\n".join("".join(side) for side in train)
        sizes = {"vocab_size": settings.vocab_size, "min_frequency": settings.min_frequency}
        return cls(BpeTokenizer.from_text(text, **sizes))

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "PieceTokenizer":
        if not isinstance(inner := state.get("tokenizer"), dict):
            raise ValueError("not the state of a tokenizer of pieces")
        return cls(BpeTokenizer.from_state(inner))

    @property
    def state(self) -> dict[str, Any]:
        return {"kind": self.kind, "tokenizer": self.bpe.state}

    @property
    def words(self) -> Sequence[str]:
        return ()

    def split(self, text: str) -> list[str]:
        return [self.bpe.pieces[int(id_)] for id_ in self.bpe.encode(text)]

    def encode(self, text: str, *, skip_unknown: bool = False) -> NDArray[np.int32]:
        return self.bpe.encode(text) + np.int32(NUM_SPECIALS)

    def encode_known(self, text: str) -> tuple[NDArray[np.int32], int]:
        return self.encode(text), 0

    def decode(self, ids: Any) -> str:
        numbers = np.asarray(ids, dtype=np.int64) - NUM_SPECIALS
        return self.bpe.decode(numbers[numbers >= 0])


SIDES: dict[str, type[Side]] = {
    "characters": UnitTokenizer,
    "words": UnitTokenizer,
    "pieces": PieceTokenizer,
}


def _side_from_state(state: Any) -> Side:
    if isinstance(state, dict) and state.get("kind") == PieceTokenizer.kind:
        return PieceTokenizer.from_state(state)
    return UnitTokenizer.from_state(state)


class PairTokenizer:
    kind = "pairs"
    reads_any_file = False

    def __init__(self, source: Side, target: Side) -> None:
        self.source = source
        self.target = target

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "PairTokenizer":
        """Raises: ValueError if this class did not write the state."""
        if state.get("kind") != cls.kind:
            raise ValueError("not the state of a tokenizer of pairs")
        return cls(*(_side_from_state(state.get(side)) for side in ("source", "target")))

    @property
    def state(self) -> dict[str, Any]:
        return {"kind": self.kind, "source": self.source.state, "target": self.target.state}

    @property
    def units(self) -> Units:
        return self.source.units

    @property
    def sizes(self) -> dict[str, int]:
        return {"vocab_size": self.target.vocab_size, "source_vocab_size": self.source.vocab_size}
