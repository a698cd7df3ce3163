"""How often a run validates, and on how much: worked out before its first step."""

import math
from typing import NamedTuple

from transformer.training.estimates import PASSES_PER_TRAINING_STEP

# Of the run's compute; the rest is training.
VALIDATION_SHARE = 0.1
MOST_VALIDATIONS = 50
# A curve with fewer points says little.
FEWEST_VALIDATIONS = 10
FEWEST_OF_A_SHORT_RUN = 5
SHORT_RUN_STEPS = 50
LONG_RUN_STEPS = 100
LONG_RUN_SECONDS = 60.0
# Of a split: less would not tell two validations apart.
LEAST_VALIDATION_TOKENS = 10_000


class ValidationPlan(NamedTuple):
    """A validation so many steps after the last one, on so many tokens of its split."""

    every_steps: int
    num_tokens: int


def plan_validations(
    total_steps: int, tokens_per_step: int, split_tokens: int, shown_tokens: int
) -> ValidationPlan:
    """Steps apart at which validation, forward passes alone, stays under a tenth of the compute.

    Evenly spread, the last one after the last step, at most MOST_VALIDATIONS in a run. Where that
    buys fewer than FEWEST_VALIDATIONS of the whole split, they look at an evenly spread part of
    it. Some runs are too short for that too: from SHORT_RUN_STEPS on they spend more than a tenth,
    and shorter ones validate once, at the end. `shown_tokens` are what else a validation costs.
    """
    share = VALIDATION_SHARE / (1 - VALIDATION_SHARE)
    budget = share * PASSES_PER_TRAINING_STEP * tokens_per_step * total_steps
    affordable = min(MOST_VALIDATIONS, int(budget / (split_tokens + shown_tokens)))
    fewest = _fewest(total_steps, budget, shown_tokens)
    if affordable >= fewest or fewest == 1:
        return ValidationPlan(math.ceil(total_steps / max(1, affordable)), split_tokens)
    every_steps = math.ceil(total_steps / fewest)
    return ValidationPlan(every_steps, part_of_split(budget / fewest - shown_tokens, split_tokens))


def part_of_split(affordable_tokens: float, split_tokens: int) -> int:
    return min(split_tokens, max(LEAST_VALIDATION_TOKENS, int(affordable_tokens)))


def _fewest(total_steps: int, budget: float, shown_tokens: int) -> int:
    ten_are_cheap = budget / FEWEST_VALIDATIONS >= shown_tokens + LEAST_VALIDATION_TOKENS
    if total_steps >= LONG_RUN_STEPS or (total_steps >= SHORT_RUN_STEPS and ten_are_cheap):
        return FEWEST_VALIDATIONS
    return FEWEST_OF_A_SHORT_RUN if total_steps >= SHORT_RUN_STEPS else 1


def fewest_in(seconds: float) -> int:
    """Validations of a run that takes so long."""
    return FEWEST_VALIDATIONS if seconds >= LONG_RUN_SECONDS else FEWEST_OF_A_SHORT_RUN


def gap(validation_seconds: float, run_seconds: float, fewest: int) -> float:
    """The share of a run from one validation's start to the next's."""
    affordable = validation_seconds / VALIDATION_SHARE / run_seconds
    return min(max(affordable, 1 / MOST_VALIDATIONS), 1 / (fewest + 1))
