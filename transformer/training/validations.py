"""Plans, before a run's first step, how often it validates and on how many tokens."""

import math
from typing import NamedTuple

from transformer.training.estimates import PASSES_PER_TRAINING_STEP

# The part of a run's compute that validation may take.
VALIDATION_SHARE = 0.1
MOST_VALIDATIONS = 50
# A curve with fewer points shows little.
FEWEST_VALIDATIONS = 10
FEWEST_OF_A_SHORT_RUN = 5
SHORT_RUN_STEPS = 50
LONG_RUN_STEPS = 100
LONG_RUN_SECONDS = 60.0
# With fewer tokens, noise would hide the difference between two validations.
LEAST_VALIDATION_TOKENS = 10_000


class ValidationPlan(NamedTuple):
    """Validate every `every_steps` steps, on `num_tokens` tokens of the split.

    Samples are shown at the last validation, and so many validations apart.
    """

    every_steps: int
    num_tokens: int
    shows_every: int


def plan_validations(
    total_steps: int, tokens_per_step: int, split_tokens: int, shown_tokens: int
) -> ValidationPlan:
    """Plans validations that take at most VALIDATION_SHARE of the compute, if possible.

    They are evenly spaced, the last one after the last step, at most MOST_VALIDATIONS. If the
    budget pays for fewer than FEWEST_VALIDATIONS of the whole split, each one reads an evenly
    spread part of it. In a short run even that exceeds the budget; below SHORT_RUN_STEPS one
    validation is enough, of a part too: the run ends with the exact loss anyway. `shown_tokens` is
    the cost of the samples at a validation, in tokens; they take half of the budget at most, but
    for those at the end.
    """
    share = VALIDATION_SHARE / (1 - VALIDATION_SHARE)
    budget = share * PASSES_PER_TRAINING_STEP * tokens_per_step * total_steps
    affordable = min(MOST_VALIDATIONS, int(budget / (split_tokens + shown_tokens)))
    fewest = _fewest(total_steps, budget, shown_tokens)
    if affordable >= fewest:
        return ValidationPlan(math.ceil(total_steps / affordable), split_tokens, 1)
    shows_every = max(1, math.ceil(fewest * shown_tokens / (budget / 2)))
    tokens = budget / fewest - shown_tokens / shows_every
    every_steps = math.ceil(total_steps / fewest)
    return ValidationPlan(every_steps, part_of_split(tokens, split_tokens), shows_every)


def part_of_split(affordable_tokens: float, split_tokens: int) -> int:
    return min(split_tokens, max(LEAST_VALIDATION_TOKENS, int(affordable_tokens)))


def _fewest(total_steps: int, budget: float, shown_tokens: int) -> int:
    ten_are_cheap = budget / FEWEST_VALIDATIONS >= shown_tokens + LEAST_VALIDATION_TOKENS
    if total_steps >= LONG_RUN_STEPS or (total_steps >= SHORT_RUN_STEPS and ten_are_cheap):
        return FEWEST_VALIDATIONS
    return FEWEST_OF_A_SHORT_RUN if total_steps >= SHORT_RUN_STEPS else 1


def fewest_in(seconds: float) -> int:
    return FEWEST_VALIDATIONS if seconds >= LONG_RUN_SECONDS else FEWEST_OF_A_SHORT_RUN


def gap(validation_seconds: float, run_seconds: float, fewest: int) -> float:
    """The share of a run between the starts of two validations."""
    affordable = validation_seconds / VALIDATION_SHARE / run_seconds
    return min(max(affordable, 1 / MOST_VALIDATIONS), 1 / (fewest + 1))
