"""At which steps a run keeps what its model is, and which of these moments are kept at the end.

Training and pages choose with these. Imports no torch.
"""

import math
from collections.abc import Sequence


def candidates(number: int) -> int:
    """How many moments are kept during the training, so that `number` of them can be chosen."""
    return 2 * number


def is_due(steps: Sequence[int], step: int, number: int) -> bool:
    """Whether the moment after `step` is to be kept, after those in `steps`.

    It is if log(1 + step) has grown since the last one by the gap that `candidates` moments would
    have if they were evenly spaced up to now. So the end of the run need not be known.
    """
    if not steps:
        return True
    gap = math.log1p(step) / (candidates(number) - 1)
    return step > steps[-1] and math.log1p(step) - math.log1p(steps[-1]) >= gap


def crowded(steps: Sequence[int], number: int) -> int | None:
    """The step to drop if there are more than `candidates`: the one whose neighbors are closest.

    Distances are those of log(1 + step). The first and the last step are never dropped.
    """
    if len(steps) <= candidates(number):
        return None
    logs = [math.log1p(step) for step in steps]
    inner = range(1, len(steps) - 1)
    return steps[min(inner, key=lambda place: logs[place + 1] - logs[place - 1])]


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
