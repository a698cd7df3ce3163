"""The tokenizers of the two sides of a pair. Imports no torch."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer.data.pairs.settings import Units
from transformer.data.tokenizers.unknown import unknown_units
from transformer.special_ids import NUM_SPECIALS

_SPLIT: dict[str, Callable[[str], list[str]]] = {"characters": list, "words": str.split}
_BETWEEN = {"characters": "", "words": " "}


def split_units(text: str, units: Units) -> list[str]:
    """The characters (code points) of a text, or its words: what white space separates."""
    return _SPLIT[units](text)


def join_units(parts: Iterable[str], units: Units) -> str:
    """The text of some units, with one space between words."""
    return _BETWEEN[units].join(parts)


class UnitTokenizer:
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
    def from_state(cls, state: Any) -> "UnitTokenizer":
        found: dict[str, Any] = state if isinstance(state, dict) else {}
        units: Any = found.get("units")
        vocabulary: Any = found.get("vocabulary")
        strings = isinstance(vocabulary, list) and all(isinstance(unit, str) for unit in vocabulary)
        if found.get("kind") != cls.kind or not isinstance(units, str) or not strings:
            raise ValueError("not the state of a tokenizer of units")
        if units not in ("characters", "words"):
            raise ValueError(f"units are {' or '.join(_SPLIT)}, got {units!r}")
        return cls(units, vocabulary)

    @property
    def state(self) -> dict[str, Any]:
        return {"kind": self.kind, "units": self.units, "vocabulary": self.vocabulary}

    @property
    def vocab_size(self) -> int:
        return NUM_SPECIALS + len(self.vocabulary)

    def split(self, text: str) -> list[str]:
        return split_units(text, self.units)

    def join(self, parts: Iterable[str]) -> str:
        return join_units(parts, self.units)

    def encode(self, text: str, *, skip_unknown: bool = False) -> NDArray[np.int32]:
        """One id for each unit, without begin and end.

        Raises: UserError that names the unknown units; with `skip_unknown` they are dropped.
        """
        ids, num_unknown = self.encode_known(text)
        if num_unknown and not skip_unknown:
            raise unknown_units(self.units, set(self.split(text)) - self._ids.keys())
        return ids

    def encode_known(self, text: str) -> tuple[NDArray[np.int32], int]:
        parts = self.split(text)
        known = [self._ids[unit] for unit in parts if unit in self._ids]
        return np.array(known, dtype=np.int32), len(parts) - len(known)

    def decode(self, ids: Any) -> str:
        """The text of a sequence of ids, without padding, begin and end."""
        numbers = np.asarray(ids, dtype=np.int64) - NUM_SPECIALS
        return self.join(self.vocabulary[number] for number in numbers[numbers >= 0])


class PairTokenizer:
    kind = "pairs"
    reads_any_file = False

    def __init__(self, source: UnitTokenizer, target: UnitTokenizer) -> None:
        self.source = source
        self.target = target

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "PairTokenizer":
        """Raises: ValueError if this class did not write the state."""
        if state.get("kind") != cls.kind:
            raise ValueError("not the state of a tokenizer of pairs")
        source, target = (
            UnitTokenizer.from_state(state.get(side)) for side in ("source", "target")
        )
        return cls(source, target)

    @property
    def state(self) -> dict[str, Any]:
        return {"kind": self.kind, "source": self.source.state, "target": self.target.state}

    @property
    def units(self) -> Units:
        return self.source.units

    @property
    def sizes(self) -> dict[str, int]:
        return {"vocab_size": self.target.vocab_size, "source_vocab_size": self.source.vocab_size}
