"""Combinations drawn at random from the values that a plan allows. No torch."""

import json
import random
from typing import Any

from transformer.sweep.plan import Plan
from transformer.system.errors import UserError

_TRIES = 1000  # to find a combination that was not drawn before


def drawn(plan: Plan, number: int) -> list[dict[str, Any]]:
    """So many different combinations, each value drawn by itself; the config's seed decides which.

    Raises: UserError if there are not as many combinations.
    """
    source = random.Random(plan.base["seed"])  # its `random()` stays the same in all versions
    found: dict[str, dict[str, Any]] = {}
    for _ in range(number):
        for _ in range(_TRIES):
            settings = {key: values.at(source.random()) for key, values in plan.space.items()}
            if (text := json.dumps(settings)) not in found:
                found[text] = settings
                break
        else:
            raise UserError(
                f"--runs {number}: there are only about {len(found):,} combinations: give fewer, "
                "or more values"
            )
    return list(found.values())
