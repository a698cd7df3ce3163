"""The endless order of a mix: each part has its exact share of the chunks. Imports no torch."""

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from transformer.data.order import EndlessOrder

_LONGEST = 1_000_000  # entries of the pattern in which parts follow each other


def pattern_of(weights: Sequence[int | float | Fraction]) -> NDArray[np.uint8]:
    """Which part comes when, over and over: after any number of entries, each part has come as
    often as its share says, to less than one.

    Tijdeman 1980, "The chairman assignment problem": of the parts that may come without being
    ahead of their share, the one comes next that must come soonest. Weights are decimal numbers, so
    the pattern is as long as their common denominator; longer ones are rounded.
    """
    exact = [Fraction(str(weight)) for weight in weights]
    shares = [weight / sum(exact) for weight in exact]
    length = math.lcm(*(share.denominator for share in shares))
    if length > _LONGEST:
        length = _LONGEST
        shares = _rounded(shares, length)
    quotas = [int(share * length) for share in shares]
    if len(quotas) == 1:
        return np.zeros(1, np.uint8)
    early = Fraction(1, 2 * len(quotas) - 2)
    ahead = [0] * len(quotas)  # length * (share * n - times), in whole numbers
    least, most = int(early * length), length - int(early * length)
    pattern = np.empty(length, np.uint8)
    for n in range(length):
        ahead = [have + quota for have, quota in zip(ahead, quotas, strict=True)]
        ready = [k for k, have in enumerate(ahead) if have >= least] or range(len(quotas))
        part = min(ready, key=lambda k: (most - ahead[k]) / quotas[k] if quotas[k] else math.inf)
        ahead[part] -= length
        pattern[n] = part
    return pattern


def _rounded(shares: list[Fraction], length: int) -> list[Fraction]:
    """Multiples of 1 / length that add up to 1 (largest remainders)."""
    whole = [int(share * length) for share in shares]
    rest = sorted(range(len(shares)), key=lambda k: whole[k] - shares[k] * length)
    for k in rest[: length - sum(whole)]:
        whole[k] += 1
    return [Fraction(number, length) for number in whole]


class MixedOrder:
    """The endless order of the chunks of several texts, each with its exact share.

    `orders` are those of the texts, and `offsets` their first tokens. A position is the token at
    which a chunk starts.
    """

    def __init__(
        self,
        orders: Sequence[EndlessOrder],
        offsets: Sequence[int],
        stride: int,
        weights: Sequence[int | float | Fraction],
    ) -> None:
        self.size = sum(order.size for order in orders)
        self._orders = orders
        self._offsets = offsets
        self._stride = stride
        self.pattern = pattern_of(weights)
        self._times = [
            np.concatenate(([0], np.cumsum(self.pattern == part))) for part in range(len(orders))
        ]

    def positions(self, first: int, count: int) -> NDArray[np.int64]:
        parts = self.pattern[np.arange(first, first + count) % len(self.pattern)]
        found = np.empty(count, np.int64)
        for part, (order, offset) in enumerate(zip(self._orders, self._offsets, strict=True)):
            own = parts == part
            chunks = order.positions(self._before(part, first), int(own.sum()))
            found[own] = chunks * self._stride + offset
        return found

    def _before(self, part: int, entry: int) -> int:
        """How often a part has come before an entry."""
        rounds, rest = divmod(entry, len(self.pattern))
        return int(rounds * self._times[part][-1] + self._times[part][rest])
