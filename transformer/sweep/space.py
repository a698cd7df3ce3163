"""The values that a key may have in a sweep. No torch."""

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

_DIGITS = 4  # of a number from a range: what a table shows is what was trained


@dataclass(frozen=True)
class Choice:
    """Some values, each as likely as the others: `lr=1e-3,1e-2`."""

    is_finite: ClassVar[bool] = True

    values: tuple[Any, ...]

    def __str__(self) -> str:
        return ",".join(map(str, self.values))

    def plain(self) -> list[Any]:
        """As sweep.yaml has it."""
        return list(self.values)

    def at(self, place: float) -> Any:
        """The value at a place in [0, 1)."""
        return self.values[int(place * len(self.values))]

    def distribution(self) -> "BaseDistribution":
        """For Optuna, which takes no lists as values: the number of the value."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(tuple(range(len(self.values))))

    def from_drawn(self, number: int) -> Any:
        """The value that Optuna has drawn."""
        return self.values[number]


@dataclass(frozen=True)
class Range:
    """All numbers from `low` to `high`, both included: `dropout=0..0.3`, `lr=1e-3..1e-1:log`.

    With `log`, the logarithms of the numbers are evenly spread. `whole` numbers are integers.
    """

    is_finite: ClassVar[bool] = False

    low: float | int
    high: float | int
    log: bool = False
    whole: bool = False

    def __str__(self) -> str:
        return f"{self.low:g}..{self.high:g}{':log' * self.log}"

    def plain(self) -> dict[str, Any]:
        """As sweep.yaml has it."""
        return asdict(self)

    def at(self, place: float) -> float | int:
        """The number at a place in [0, 1), rounded."""
        low, high = (self.low - 0.5, self.high + 0.5) if self.whole else (self.low, self.high)
        if self.log:
            value = math.exp(math.log(low) + place * (math.log(high) - math.log(low)))
        else:
            value = low + place * (high - low)
        return self.rounded(value)

    def distribution(self) -> "BaseDistribution":
        from optuna.distributions import FloatDistribution, IntDistribution

        if self.whole:
            return IntDistribution(int(self.low), int(self.high), log=self.log)
        return FloatDistribution(self.low, self.high, log=self.log)

    def from_drawn(self, value: float | int) -> float | int:
        return self.rounded(float(value))

    def rounded(self, value: float) -> float | int:
        """The number of this range next to a value; four digits of it if it is not whole."""
        if self.whole:
            return round(min(max(value, self.low), self.high))
        return min(max(float(f"{value:.{_DIGITS}g}"), self.low), self.high)


Space = dict[str, Choice | Range]  # by key, in the order in which --vary names them
