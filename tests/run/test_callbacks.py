"""At which validations a run shows samples."""

from types import SimpleNamespace

import pytest

from transformer.run.callbacks import is_shown_after
from transformer.run.parts import Run
from transformer.training.validations import ValidationPlan

STEPS = list(range(12, 121, 12))


def run_with(*, shows_every=3, scores=False, **keys):
    config = SimpleNamespace(**{"val_every_steps": "auto", "max_minutes": None, **keys})
    task = SimpleNamespace(shows_scores=scores)
    plan = ValidationPlan(12, 10_000, shows_every)
    run = object.__new__(Run)  # of which only this matters here
    vars(run).update(config=config, task=task, total_steps=120, validation_plan=plan)
    return run


@pytest.mark.parametrize(
    ("run", "shown"),
    [
        (run_with(shows_every=1), STEPS),
        (run_with(shows_every=3), [36, 72, 108, 120]),
        (run_with(shows_every=15), [120]),
        (run_with(shows_every=15, scores=True), STEPS),  # scores choose the best weights
        (run_with(shows_every=15, val_every_steps=12), STEPS),  # as the user asked for
        (run_with(shows_every=15, max_minutes=1.0), STEPS),  # planned by the clock
    ],
)
def test_samples_follow_the_plan_unless_something_needs_them(run, shown):
    assert [step for step in STEPS if is_shown_after(run)(step)] == shown
