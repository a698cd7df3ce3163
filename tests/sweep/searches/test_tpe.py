"""The search that asks Optuna."""

import dataclasses
import math
import random
import sys

import pytest

from transformer.sweep.plan import Plan
from transformer.sweep.searches.tpe import TpeSearch
from transformer.sweep.space import Choice, Range
from transformer.sweep.trial import Result, Trial
from transformer.system.errors import UserError

SPACE = {
    "lr": Range(1e-4, 1e-1, log=True),
    "num_blocks": Range(2.0, 6.0, whole=True),
    "bias": Choice((True, False)),
}
RUNS = 12


def plan_of(runs: int = RUNS, processes: int = 1, seeds: int = 1, seed: int = 0) -> Plan:
    base = {"seed": seed, "max_steps": 100}
    return Plan(base, "tpe", SPACE, seeds=seeds, runs=runs, processes=processes)


def loss_of(trial: Trial) -> float | None:
    """Least at lr 0.01 without a bias; very high rates fail."""
    if trial.settings["lr"] > 0.05:
        return None
    return abs(math.log10(trial.settings["lr"]) + 2) + trial.settings["bias"] + 0.01 * trial.seed


def result_of(trial: Trial) -> Result:
    loss = loss_of(trial)
    return Result(trial, None, loss, {}, None if loss is not None else "lr too high")


def finished(plan: Plan) -> list[Result]:
    """As a sweep does it that asks again after each result."""
    results: list[Result] = []
    while len(trials := TpeSearch(plan).trials(results)) > len(results):
        results.append(result_of(trials[len(results)]))
    return results


@pytest.mark.parametrize(("processes", "seeds"), [(1, 1), (3, 1), (2, 2)])
def test_a_sweep_that_was_killed_anywhere_goes_on_with_the_same_trials(processes, seeds):
    plan = plan_of(processes=processes, seeds=seeds)
    results = finished(plan)
    whole = [result.trial for result in results]
    assert len({trial.name for trial in whole}) == len(whole)
    for number in range(0, len(results), 5):
        known = results[:number]
        random.Random(number).shuffle(known)
        assert list(TpeSearch(plan).trials(known)) == whole[: len(TpeSearch(plan).trials(known))]
        assert len(TpeSearch(plan).trials(known)) > number


def test_one_search_that_is_asked_again_and_again_says_what_a_new_one_says():
    """Also when it is told less than before, or other losses."""
    plan = plan_of(processes=2)
    search, results = TpeSearch(plan), finished(plan)
    others = [dataclasses.replace(result, loss=-(result.loss or 0.0)) for result in results]
    for known in (results[:3], results[:9], results[:4], others[:6], results):
        assert list(search.trials(known)) == list(TpeSearch(plan).trials(known))


def test_a_round_asks_for_a_combination_for_each_process():
    assert len(TpeSearch(plan_of(processes=3)).trials([])) == 3
    assert len(TpeSearch(plan_of(runs=2, processes=3)).trials([])) == 2


def test_values_are_of_the_space_and_differ_between_seeds_of_the_sweep():
    trials = [result.trial for result in finished(plan_of())]
    for trial in trials:
        assert 1e-4 <= trial.settings["lr"] <= 1e-1
        assert trial.settings["num_blocks"] in range(2, 7)
        assert trial.settings["bias"] in (True, False)
    assert trials[0].settings != TpeSearch(plan_of(seed=1)).trials([])[0].settings


def test_losses_decide_what_is_tried_next():
    plan = plan_of()
    first = finished(plan)[:4]  # drawn at random
    turned = [
        dataclasses.replace(result, loss=-(result.loss or 0.0), error=None) for result in first
    ]
    trials, others = (TpeSearch(plan).trials(results) for results in (first, turned))
    assert trials[:4] == others[:4]
    assert trials[4] != others[4]


def test_without_optuna_there_is_one_line_with_the_way_out(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UserError, match=r"pip install -r requirements-sweep.txt"):
        TpeSearch(plan_of())
