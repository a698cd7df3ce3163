"""Paired differences of a sweep, beside SciPy's own test; the table and the facts made of them."""

import json
import math

import numpy as np
import pytest

from transformer.sweep.comparison import combinations_of, difference, reference_of
from transformer.sweep.intervals import interval
from transformer.sweep.plan import Plan
from transformer.sweep.report import compared, facts, num_comparisons, table
from transformer.sweep.space import Choice
from transformer.sweep.trial import Result, Trial

BASE = {"model": "gpt", "lr": 0.01, "dropout": 0.0, "seed": 0}


def result(settings, seed, loss, error=None, **limit):
    return Result(Trial(settings, seed, limit, f"{settings}-{seed}"), None, loss, {}, error)


def results_of(rows):
    """A result for each seed of each `(settings, losses)`; None for a run that failed."""
    return [
        result(settings, seed, loss, "out of memory" if loss is None else None)
        for settings, losses in rows
        for seed, loss in enumerate(losses)
    ]


def plan(*keys, **changes):
    return Plan(BASE, "grid", {key: Choice((1, 2)) for key in keys}, **changes)


@pytest.mark.parametrize("count", [2, 3, 5, 19])
def test_an_interval_is_that_of_the_paired_t_test(count):
    from scipy.stats import ttest_rel  # takes a second

    random = np.random.default_rng(count)
    one, other = random.normal(1.5, 0.1, count), random.normal(1.4, 0.2, count)
    found = interval([float(d) for d in one - other])
    low, high = ttest_rel(one, other).confidence_interval(0.95)
    # Both work in float64 and add up at most 19 numbers.
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-12)
    assert found.mean == pytest.approx(float(np.mean(one - other)), abs=1e-12)
    assert found.num_values == count


def test_a_single_difference_has_no_interval():
    assert interval([0.25]) == (0.25, None, None, 1)


def test_equal_differences_have_an_interval_of_no_width():
    assert interval([0.5, 0.5, 0.5]) == (0.5, 0.5, 0.5, 3)


def test_a_seed_that_one_side_lacks_is_left_out_of_the_pairs():
    rows = [({"lr": 0.01}, [1.0, 9.0, 1.5]), ({"lr": 0.1}, [1.25, None, 2.0])]
    reference, other = combinations_of(results_of(rows))
    assert difference(other, reference) == interval([0.25, 0.5])
    assert difference(reference, other) == interval([-0.25, -0.5])


def test_without_a_common_seed_there_is_no_difference():
    one, other = combinations_of(results_of([({"lr": 1}, [1.0, None]), ({"lr": 2}, [None, 2.0])]))
    assert difference(one, other) is None


def test_failed_runs_and_losses_that_are_no_numbers_are_counted():
    (found,) = combinations_of(results_of([({}, [1.0, None, math.nan, math.inf, 2.0])]))
    assert found.losses == {0: 1.0, 4: 2.0}
    assert found.failed == {1: "out of memory", 2: "its loss is nan", 3: "its loss is inf"}
    assert found.mean == 1.5
    text = table(plan("lr"), found.results)
    assert "2 of 5" in text
    assert "failed runs: 3; the first, the config, seed 1: out of memory" in text


def test_runs_of_other_limits_are_other_combinations_and_are_not_compared():
    rows = [
        result({"lr": lr}, seed, loss + seed, max_steps=steps)
        for steps, losses in ((9, {0.1: 3.0, 0.2: 2.0}), (27, {0.2: 1.0}))
        for lr, loss in losses.items()
        for seed in (0, 1)
    ]
    found = compared(plan("lr"), rows)
    assert [(row.one.limit["max_steps"], row.one.settings["lr"]) for row in found] == [
        (27, 0.2),
        (9, 0.2),
        (9, 0.1),
    ]
    assert [row.is_reference for row in found] == [True, False, True]
    assert found[1].difference == (-1.0, -1.0, -1.0, 2)
    assert table(plan("lr"), rows).splitlines()[0].split() == [
        *("max_steps", "combination", "val_loss", "sd", "seeds", "difference", "95", "%")
    ]


@pytest.mark.parametrize(
    ("settings", "index"),
    [
        ([{"lr": 0.1}, {"lr": 0.01}], 1),  # the config's own value
        ([{"lr": 0.1}, {}], 1),
        ([{"lr": 0.1}, {"lr": 0.2}], 0),
        ([{"lr": 0.01, "dropout": 0.1}, {"lr": 0.01, "dropout": 0}], 1),
    ],
)
def test_the_reference_is_the_config_itself_or_else_the_first_combination(settings, index):
    found = combinations_of([result(each, 0, 1.0) for each in settings])
    assert reference_of(plan(), found) is found[index]


def test_the_table_is_sorted_and_says_how_many_comparisons_were_made():
    rows = [({"lr": 0.1}, [2.0, 2.5]), ({"lr": 0.01}, [1.0, 1.25]), ({"lr": 0.2}, [0.5, 1.0])]
    results = results_of(rows)
    lines = table(plan("lr"), results).splitlines()
    assert [line.split("  ")[0] for line in lines[2:5]] == ["lr 0.2", "lr 0.01", "lr 0.1"]
    assert lines[3].split()[-1] == "reference"
    assert "+1.1250" in lines[4]
    assert "-2.0516 to +0.8016" not in lines[2]  # of unpaired losses
    low, high = interval([-0.5, -0.25])[1:3]
    assert f"{low:+.4f} to {high:+.4f}" in lines[2]
    assert "2 comparisons were made: if no change had an effect, about 0.1 of them" in lines[5]
    assert num_comparisons(compared(plan("lr"), results)) == 2


def test_with_one_seed_the_table_says_that_nobody_can_tell():
    text = table(plan("lr"), results_of([({"lr": 1}, [1.0]), ({"lr": 2}, [2.0])]))
    assert "one seed each: nobody can tell a difference from chance" in text
    assert "comparison" not in text


def test_seeds_of_one_config_are_a_table_without_differences():
    lines = table(plan(seeds=3), results_of([({}, [1.0, 2.0, 3.0])])).splitlines()
    assert lines[0].split() == ["combination", "val_loss", "sd", "seeds"]
    assert lines[2].split() == ["the", "config", "2.0000", "1.0000", "3"]


def test_facts_are_whole_json_also_of_failed_runs():
    rows = [({"lr": 0.01}, [1.0, 1.5]), ({"lr": 0.1}, [None, None]), ({"lr": 0.2}, [2.0, None])]
    found = json.loads(json.dumps(facts(plan("lr"), results_of(rows)), allow_nan=False))
    assert (found["metric"], found["failed"], found["comparisons"]) == ("val_loss", 3, 0)
    assert [row["mean"] for row in found["combinations"]] == [1.25, 2.0, None]
    assert found["combinations"][1]["difference"] == {
        "mean": 1.0,
        "low": None,
        "high": None,
        "pairs": 1,
    }
    assert [run["loss"] for run in found["runs"]] == [1.0, 1.5, None, None, 2.0, None]
