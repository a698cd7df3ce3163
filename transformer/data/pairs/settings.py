"""How a file of pairs is read and split. Imports no torch."""

from dataclasses import dataclass
from typing import Literal

from transformer.data.fractions import check_fractions
from transformer.system.errors import UserError

Units = Literal["characters", "words", "pieces"]


@dataclass(frozen=True, kw_only=True)
class PairSettings:
    """The keys of a config that describe pairs to train on.

    Raises: UserError if the fractions leave no training split, or if a shared vocabulary would mix
    units.
    """

    block_size: int
    val_fraction: float = 0.1
    test_fraction: float = 0.1
    source_units: Units = "characters"
    target_units: Units = "characters"
    skip_bad_lines: bool = False
    shared_vocabulary: bool = False
    vocab_size: int | Literal["auto"] = "auto"
    min_frequency: int = 2

    def __post_init__(self) -> None:
        check_fractions(self.val_fraction, self.test_fraction)
        if self.shared_vocabulary and self.source_units != self.target_units:
            raise UserError(
                "shared_vocabulary needs the same units on both sides, "
                f"got source_units={self.source_units} and target_units={self.target_units}"
            )

    @property
    def used_keys(self) -> tuple[str, ...]:
        """The keys about pieces, if a side has pieces."""
        return ("vocab_size", "min_frequency") if "pieces" in self.units else ()

    @property
    def tokens(self) -> str:
        return f"source_units: {self.source_units} and target_units: {self.target_units}"

    with_pieces = "pieces for one of them"

    @property
    def units(self) -> tuple[Units, Units]:
        return self.source_units, self.target_units
