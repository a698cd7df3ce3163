"""Intervals of Student's t. No torch."""

import math
from collections.abc import Sequence
from statistics import mean, stdev
from typing import NamedTuple

from scipy.special import stdtrit

CONFIDENCE = 0.95


class Interval(NamedTuple):
    """A mean with its 95 % interval; `low` and `high` are None for a single value."""

    mean: float
    low: float | None
    high: float | None
    num_values: int


def quantile(freedom: int) -> float:
    """The half width of a 95 % interval in standard errors, with `freedom` degrees of freedom."""
    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2))


def interval(values: Sequence[float]) -> Interval:
    """Student's t: mean +- t(0.975, n - 1) s / sqrt(n), of at least one value.

    Of paired differences, this is the interval of the paired t test.
    """
    center, count = mean(values), len(values)
    if count < 2:
        return Interval(center, None, None, count)
    half = quantile(count - 1) * stdev(values) / math.sqrt(count)
    return Interval(center, center - half, center + half, count)
