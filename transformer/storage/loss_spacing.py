"""Chooses moments of a training that are evenly spaced by loss. Imports no torch."""

import math
from collections.abc import Sequence


def spaced_by_loss(losses: Sequence[float], number: int) -> list[int]:
    """The places of `number` losses, of the first and the last among them, as even as they can be.

    The squares of the differences between neighbors have the smallest sum; of equal sums, the
    first choice in the order of the places. So what was chosen stays chosen if some of the others
    are missing. With `number` losses or fewer, all are chosen.
    """
    if len(losses) <= number:
        return list(range(len(losses)))
    last = len(losses) - 1
    # The best way from each place to the last one, with so many places after it.
    ways: list[tuple[float, list[int]]] = [(math.inf, [])] * last + [(0.0, [last])]
    for _ in range(number - 1):
        ways = [
            min(
                (
                    (
                        (losses[place] - losses[after]) ** 2 + ways[after][0],
                        [place, *ways[after][1]],
                    )
                    for after in range(place + 1, last + 1)
                ),
                default=(math.inf, []),
            )
            for place in range(last + 1)
        ]
    return ways[0][1]
