"""The factors of each learning-rate schedule, listed literally."""

import math

import pytest

from transformer.training.optimization.schedules import SCHEDULES, Schedule

DEFAULTS = {"warmup_steps": 0, "decay_fraction": 0.6, "final_lr_fraction": 0.1, "total_steps": 10}


def make_schedule(name, **settings):
    return Schedule(name, **DEFAULTS | settings)


def factors(schedule, total_steps=10, **settings):
    made = make_schedule(schedule, total_steps=total_steps, **settings)
    return [made.factor(step) for step in range(total_steps + 1)]


EXACT = 1e-12  # a few roundings in float64

HALF_COSINE = [1.0, 0.97552825814758, 0.90450849718747, 0.79389262614624, 0.65450849718747, 0.5]
HALF_COSINE += [1 - factor for factor in HALF_COSINE[-2::-1]]


@pytest.mark.parametrize(
    ("schedule", "settings", "expected"),
    [
        ("constant", {}, [1.0] * 11),
        ("constant", {"warmup_steps": 4}, [0.25, 0.5, 0.75] + [1.0] * 8),
        ("cosine", {"final_lr_fraction": 0.0}, HALF_COSINE),
        ("cosine", {"final_lr_fraction": 0.1}, [0.1 + 0.9 * factor for factor in HALF_COSINE]),
        (
            "cosine",
            {"final_lr_fraction": 0.0, "warmup_steps": 2},
            [0.5 * HALF_COSINE[0], *HALF_COSINE[1:]],
        ),
        (
            "trapezoid",
            {"decay_fraction": 0.4, "final_lr_fraction": 0.0},
            [1, 1, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25, 0],
        ),
        (
            "trapezoid",
            {"decay_fraction": 0.5, "final_lr_fraction": 0.2, "warmup_steps": 4},
            [0.25, 0.5, 0.75, 1, 1, 1, 0.84, 0.68, 0.52, 0.36, 0.2],
        ),
        ("trapezoid", {"decay_fraction": 0.0}, [1.0] * 11),
        (
            "noam",
            {"warmup_steps": 4},
            [1 / 4, 2 / 4, 3 / 4, 1, *(math.sqrt(4 / s) for s in range(5, 12))],
        ),
        ("noam", {"warmup_steps": 0}, [1 / math.sqrt(s) for s in range(1, 12)]),
    ],
    ids=str,
)
def test_the_factors_of_each_schedule(schedule, settings, expected):
    assert factors(schedule, **settings) == pytest.approx(expected, abs=EXACT)


def test_warmup_takes_the_cosine_and_the_trapezoid_at_their_own_height():
    """Warmup multiplies: at step 1 of 4, half of what the schedule alone gives."""
    for schedule in ("cosine", "trapezoid", "constant"):
        alone, warmed = factors(schedule), factors(schedule, warmup_steps=4)
        expected = [min(1, (step + 1) / 4) * factor for step, factor in enumerate(alone)]
        assert warmed == pytest.approx(expected, abs=EXACT)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("warmup_steps", [0, 1, 7, 1000])
@pytest.mark.parametrize("total_steps", [1, 2, 10])
def test_every_step_that_is_made_has_a_factor_above_0_and_at_most_1(
    schedule, warmup_steps, total_steps
):
    steps = factors(schedule, total_steps, warmup_steps=warmup_steps, final_lr_fraction=0.0)
    assert all(0 < factor <= 1 for factor in steps[:-1])


@pytest.mark.parametrize("schedule", ["cosine", "trapezoid"])
@pytest.mark.parametrize("final", [0.0, 0.1, 0.37])
def test_the_end_of_the_run_has_the_final_fraction_and_keeps_it(schedule, final):
    made = make_schedule(schedule, final_lr_fraction=final)
    for step in (10, 15):
        assert made.factor(step) == pytest.approx(final, abs=EXACT)


@pytest.mark.parametrize("schedule", ["cosine", "trapezoid"])
def test_decay_follows_progress_not_the_step(schedule):
    """So that a limit on time decays as far as a limit on steps."""
    by_time = [make_schedule(schedule, total_steps=99, time_share=t / 10) for t in range(11)]
    by_progress = [made.factor(0) for made in by_time]
    assert by_progress == pytest.approx(factors(schedule), abs=EXACT)


def test_an_unknown_schedule_lists_the_known_ones():
    message = "schedule must be one of constant, cosine, trapezoid, noam, got 'linear'"
    with pytest.raises(ValueError, match=message):
        make_schedule("linear").factor(0)


def test_automatic_warmup_is_a_twentieth_of_the_run_at_most_100_steps():
    runs = [1, 19, 20, 39, 40, 1999, 2000, 2001, 10**6]
    warmups = [1, 1, 1, 1, 2, 99, 100, 100, 100]
    made = [make_schedule("constant", warmup_steps="auto", total_steps=n) for n in runs]
    assert [schedule.factor(0) for schedule in made] == [1 / steps for steps in warmups]
