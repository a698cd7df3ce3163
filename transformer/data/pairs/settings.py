"""How a file of pairs is read and split. Imports no torch."""

from dataclasses import dataclass
from typing import Literal

from transformer.data.fractions import check_fractions
from transformer.system.errors import UserError

Units = Literal["characters", "words"]


@dataclass(frozen=True, kw_only=True)
class PairSettings:
    """The keys of a config that describe pairs to train on.

    Raises: UserError if the fractions leave no training split, or if a shared vocabulary would mix
    characters and words.
    """

    block_size: int
    val_fraction: float = 0.1
    test_fraction: float = 0.1
    source_units: Units = "characters"
    target_units: Units = "characters"
    skip_bad_lines: bool = False
    shared_vocabulary: bool = False

    def __post_init__(self) -> None:
        check_fractions(self.val_fraction, self.test_fraction)
        if self.shared_vocabulary and self.source_units != self.target_units:
            raise UserError(
                "shared_vocabulary needs the same units on both sides, "
                f"got source_units={self.source_units} and target_units={self.target_units}"
            )

    used_keys = ()

    @property
    def units(self) -> tuple[Units, Units]:
        return self.source_units, self.target_units
