"""At which steps a run keeps what its model is, and which of these moments are kept at the end.

Imports no torch.
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
