"""How the time of a sweep is divided among its runs. No torch."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from transformer.sweep.plan import Plan
from transformer.system.errors import UserError

LEAST_SECONDS = 2.0  # of a run; reading the data and measuring this machine count in them


def minutes_of(plan: Plan, groups: Sequence[tuple[int, int]]) -> float:
    """The minutes of a run of weight 1, so that the whole sweep takes `plan.minutes`.

    `groups` are numbers of runs with their weights, one group after another. The runs of a group
    are trained `plan.processes` at a time, each for its weight times the returned minutes.

    Raises: UserError if that is too short for a run.
    """
    assert plan.minutes is not None
    turns = sum(math.ceil(number / plan.processes) * weight for number, weight in groups)
    share = plan.minutes / turns
    if 60 * share < LEAST_SECONDS:
        least = math.ceil(100 * turns * LEAST_SECONDS / 60) / 100
        raise UserError(
            f"--minutes {plan.minutes:g} leaves {60 * share:.2g} seconds for "
            f"{'a' if len(groups) == 1 else 'the shortest'} run, of "
            f"{sum(number for number, _ in groups):,}: give at least {least:g}, or fewer runs"
        )
    return share


def equal_limit(plan: Plan, num_trials: int) -> Mapping[str, Any]:
    """The limit of each of so many trials; empty if a run ends as its config says."""
    if plan.minutes is None:
        return {}
    return {"max_minutes": round(minutes_of(plan, [(num_trials, 1)]), 4)}
