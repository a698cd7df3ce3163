"""How files of pairs are read and split. Imports no torch."""

from dataclasses import dataclass
from typing import Literal

from transformer.data.fractions import check_fractions
from transformer.data.sources.settings import DataPath
from transformer.system.errors import UserError

Units = Literal["characters", "words", "pieces"]


@dataclass(frozen=True, kw_only=True)
class PairSettings:
    """The keys of a config that describe pairs to train on.

    Raises: UserError if the fractions leave no training split, if a test split has both a fraction
    and a file, for several files in `val_path`, or if a shared vocabulary would mix units.
    """

    block_size: int
    val_fraction: float = 0.1
    test_fraction: float | Literal["auto"] = "auto"
    val_path: DataPath | None = None
    test_path: str | None = None
    source_units: Units = "characters"
    target_units: Units = "characters"
    skip_bad_lines: bool = False
    shared_vocabulary: bool = False
    vocab_size: int | Literal["auto"] = "auto"
    min_frequency: int = 2

    def __post_init__(self) -> None:
        if isinstance(self.val_path, list | tuple):
            raise UserError(f"val_path: pairs are read from one file, got {len(self.val_path)}")
        if self.test_path is not None and self.test_fraction not in ("auto", 0):
            raise UserError(
                f"test_fraction={self.test_fraction:g} does not go with test_path: leave out one"
            )
        check_fractions(*self.fractions)
        if self.shared_vocabulary and self.source_units != self.target_units:
            raise UserError(
                "shared_vocabulary needs the same units on both sides, "
                f"got source_units={self.source_units} and target_units={self.target_units}"
            )

    @staticmethod
    def auto_test_fraction(test_path: str | None) -> float:
        return 0.1 if test_path is None else 0.0

    @property
    def fractions(self) -> tuple[float, float]:
        """The shares of data_path for validation and the test; 0 for a split with its own file."""
        val = self.val_fraction if self.val_path is None else 0.0
        if self.test_fraction == "auto":
            return val, self.auto_test_fraction(self.test_path)
        return val, self.test_fraction

    @property
    def shares(self) -> str:
        """In words, where validation and the test are from."""
        fractions, paths = self.fractions, (self.val_path, self.test_path)
        return ", ".join(
            f"{name}_fraction={fraction:g}" if path is None else f"{name}_path={path}"
            for name, fraction, path in zip(("val", "test"), fractions, paths, strict=True)
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
