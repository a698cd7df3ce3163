"""What a scaling law says of the runs of a sweep."""

import re
from pathlib import Path
from typing import Any

import pytest

from transformer.config.files import load_config
from transformer.sweep.plan import Plan
from transformer.sweep.scaling.fit import USUAL_POWER
from transformer.sweep.scaling.outcome import outcome_of
from transformer.sweep.scaling.report import facts, table
from transformer.sweep.scaling.sizes import series
from transformer.sweep.searches.scaling import ScalingSearch
from transformer.sweep.trial import Result
from transformer.system.errors import UserError

CONFIG = Path(__file__).parents[3] / "configs" / "default.yaml"


def plan_of(unique_tokens: int = 4_000_000, seeds: int = 1) -> Plan:
    config = load_config(CONFIG)
    sizes = series(config, 5e4, vocab_size=75)
    measured: dict[str, Any] = {
        "vocab_size": 75,
        "unique_tokens": unique_tokens,
        "sizes": [size.as_dict() for size in sizes[:-1]],
        "predicted": sizes[-1].as_dict() | {"seconds": 600.0},
    }
    return Plan(config.resolved(), "scaling", seeds=seeds, measured=measured)


def results_of(plan: Plan, failed: int = 0) -> list[Result]:
    """The losses of a law, but for the first so many, which failed."""
    trials = ScalingSearch(plan).trials([])
    computes = {size["max_steps"]: size for size in plan.measured["sizes"]}
    found = []
    for number, trial in enumerate(trials):
        size = computes[trial.limit["max_steps"]]
        loss = 1.2 + 0.4 * (size["tokens"] * size["flops_per_token"] / 1e12) ** -USUAL_POWER
        kept = None if number < failed else loss + 0.01 * (trial.seed - plan.base["seed"])
        found.append(Result(trial, None, kept, {"elapsed_seconds": 60.0}, None))
    return found


def test_each_size_is_trained_with_each_seed_and_its_own_steps():
    plan = plan_of(seeds=2)
    trials = ScalingSearch(plan).trials([])
    assert len({trial.name for trial in trials}) == len(trials) == 10
    assert [trial.limit["max_steps"] for trial in trials[::2]] == [
        size["max_steps"] for size in plan.measured["sizes"]
    ]
    assert all(plan.config(trial.settings, trial.limit) for trial in trials)


def test_the_prediction_is_that_of_the_law_of_the_losses():
    plan = plan_of()
    outcome = outcome_of(plan, results_of(plan))
    expected = 1.2 + 0.4 * (outcome.next.compute / 1e12) ** -USUAL_POWER
    assert outcome.prediction.loss == pytest.approx(expected, abs=1e-5)
    assert f"predicted: {outcome.prediction.loss:.3f}" in table(plan, results_of(plan))
    assert facts(plan, results_of(plan))["predicted"]["val_loss"] == outcome.prediction.loss


def test_seeds_are_averaged():
    single, several = plan_of(), plan_of(seeds=3)
    reached = outcome_of(several, results_of(several)).reached
    for one, mean in zip(outcome_of(single, results_of(single)).reached, reached, strict=True):
        assert mean.loss == pytest.approx(one.loss + 0.01)


def test_one_size_may_fail_and_two_may_not():
    plan = plan_of()
    assert len(outcome_of(plan, results_of(plan, failed=1)).reached) == 4
    with pytest.raises(UserError, match=r"3 of 5 sizes have worked"):
        table(plan, results_of(plan, failed=2))


@pytest.mark.parametrize(("unique", "warned"), [(4_000_000, False), (500_000, True)])
def test_a_text_that_the_predicted_run_would_read_too_often_is_named(unique, warned):
    plan = plan_of(unique)
    last_line = table(plan, results_of(plan)).splitlines()[-1]
    assert bool(re.match(r"warning: the text is too small .* 8\.\d+ times", last_line)) == warned
