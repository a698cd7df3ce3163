"""How often a run validates, and on how many tokens of the split."""

import pytest

from transformer.training.validations import (
    LEAST_VALIDATION_TOKENS,
    fewest_in,
    gap,
    part_of_split,
    plan_validations,
)

SHOWN = 30_000


def count(total_steps, plan):
    """One comes after the last step, whether that is a multiple or not."""
    return -(-total_steps // plan.every_steps)


@pytest.mark.parametrize("total_steps", [1, 49, 50, 99, 100, 2000, 10**6])
@pytest.mark.parametrize("tokens_per_step", [7, 768, 10**5])
@pytest.mark.parametrize("split_tokens", [1, 11_000, 10**6])
def test_validation_stays_under_a_tenth_of_the_compute(total_steps, tokens_per_step, split_tokens):
    """A training token costs three forward passes, a validated one costs one.

    Where the fewest validations of the smallest part of the split are too dear, they are made.
    """
    plan = plan_validations(total_steps, tokens_per_step, split_tokens, SHOWN)
    number = count(total_steps, plan)
    validating = number * (plan.num_tokens + SHOWN / plan.shows_every)
    training = total_steps * tokens_per_step * 3
    fewest = number <= 10 and plan.num_tokens == min(split_tokens, LEAST_VALIDATION_TOKENS)
    assert number <= 50
    assert number == 1 or fewest or validating <= 0.1 * (validating + training)


@pytest.mark.parametrize("total_steps", [*range(50, 140), 1003, 2400, 10**6])
@pytest.mark.parametrize("tokens_per_step", [7, 1536, 10**5])
def test_no_curve_has_fewer_points_than_it_takes_to_see_a_course(total_steps, tokens_per_step):
    plan = plan_validations(total_steps, tokens_per_step, 10**6, SHOWN)
    assert count(total_steps, plan) >= (10 if total_steps >= 100 else 5)
    assert plan.num_tokens >= LEAST_VALIDATION_TOKENS


@pytest.mark.parametrize(
    ("total_steps", "split_tokens", "expected"),
    [
        # 1000 tokens a step. 2000 steps cost 6,000,000, a ninth of which is 22 times 30,000
        (2000, 30_000, (91, 30_000)),
        (2000, 10, (40, 10)),  # 50 validations, where all would be affordable
        (2000, 100_000, (200, 66_666)),  # ten of a part of the split, where not all is affordable
        (100, 100_000, (10, LEAST_VALIDATION_TOKENS)),  # not even that
        (60, 100_000, (12, LEAST_VALIDATION_TOKENS)),
        (49, 100_000, (49, 16_333)),  # too short for a curve; the exact loss follows anyway
        (1, 10, (1, 10)),
    ],
)
def test_validation_is_as_frequent_as_that_allows(total_steps, split_tokens, expected):
    assert plan_validations(total_steps, 1000, split_tokens, 0) == (*expected, 1)


@pytest.mark.parametrize("total_steps", [*range(50, 140, 9), 1003, 2400, 10**6])
@pytest.mark.parametrize("tokens_per_step", [7, 1536, 10**5])
def test_samples_take_half_of_the_budget_or_are_shown_at_the_end_alone(
    total_steps, tokens_per_step
):
    plan = plan_validations(total_steps, tokens_per_step, 10**6, SHOWN)
    number = count(total_steps, plan)
    half = total_steps * tokens_per_step * 3 / 9 / 2
    assert plan.shows_every == 1 or number / plan.shows_every * SHOWN <= half
    assert plan.shows_every > 1 or number * SHOWN <= 2 * half or number == 1


def test_few_dear_steps_are_validated_ten_times():
    assert plan_validations(50, 10**5, 10**6, SHOWN).every_steps == 5


@pytest.mark.parametrize(
    ("validation_seconds", "run_seconds", "expected"),
    [
        (1.0, 200.0, 1 / 20),  # 10 s from one to the next
        (0.001, 200.0, 1 / 50),
        (50.0, 200.0, 1 / 11),  # dear: the fewest
    ],
)
def test_validations_are_spaced_by_what_they_take(validation_seconds, run_seconds, expected):
    assert gap(validation_seconds, run_seconds, fewest_in(run_seconds)) == pytest.approx(expected)


def test_a_run_of_a_minute_has_ten_validations_and_a_shorter_one_five():
    assert (fewest_in(60.0), fewest_in(59.0)) == (10, 5)


def test_a_part_of_a_split_is_at_least_what_tells_validations_apart():
    assert part_of_split(-5.0, 10**6) == LEAST_VALIDATION_TOKENS
    assert part_of_split(5e4, 10**6) == 50_000
    assert part_of_split(5e4, 11) == 11
