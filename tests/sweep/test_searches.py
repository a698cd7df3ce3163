"""Which trials a search allows: a pure function of its plan and the results."""

import math
import random

import pytest

from transformer.sweep.plan import Plan
from transformer.sweep.registry import search_of
from transformer.sweep.space import Choice, Range
from transformer.sweep.trial import Result, name_of
from transformer.system.errors import UserError

LR, DROPOUT = Choice((1e-3, 1e-2, 1e-1)), Choice((0.0, 0.1))
RANGES = {"lr": Range(1e-4, 1e-1, log=True), "num_blocks": Range(2, 5, whole=True)}


def result(trial, loss):
    return Result(trial, None, loss, {}, None if loss is not None else "no reason")


def loss_of(trial):
    """Another one for each trial, but always the same; that of one in seven is missing."""
    number = random.Random(trial.name).random()
    return None if number < 1 / 7 else number


def finished(search, loss):
    """All trials with their losses, one after another."""
    done = {}
    while waiting := [one for one in search.trials([*done.values()]) if one.name not in done]:
        done[waiting[0].name] = result(waiting[0], loss(waiting[0]))
    return [(each.trial, each.loss) for each in done.values()]


def settings(trials):
    return [tuple(trial.settings.values()) for trial in trials]


def test_a_grid_has_every_combination_with_each_seed_the_first_seed_first(make_plan):
    trials = search_of(make_plan("grid", {"lr": LR, "dropout": DROPOUT}, seeds=2)).trials([])
    combinations = [(lr, dropout) for lr in LR.values for dropout in DROPOUT.values]
    assert settings(trials) == combinations * 2
    assert [trial.seed for trial in trials] == [0] * 6 + [1] * 6
    assert len({trial.name for trial in trials}) == 12
    assert trials[7].name == "lr-0.001_dropout-0.1_seed-1"


def test_changes_are_tried_one_by_one_beside_the_config_itself(make_plan):
    trials = search_of(make_plan("each", changes=({"lr": 1}, {"dropout": 0}), seeds=2)).trials([])
    assert [dict(trial.settings) for trial in trials] == [{}, {"lr": 1}, {"dropout": 0}] * 2
    assert trials[0].name == "seed-0"


def test_random_combinations_are_different_within_their_ranges_and_follow_the_seed(make_plan, base):
    plan = make_plan("random", RANGES, runs=101)
    trials = search_of(plan).trials([])
    assert len({*settings(trials)}) == 101
    assert {num_blocks for _, num_blocks in settings(trials)} == {2, 3, 4, 5}
    rates = [lr for lr, _ in settings(trials)]
    assert all(1e-4 <= lr <= 1e-1 for lr in rates)
    # Half of them below the geometric mean: 50 of 101, within four standard deviations of 5.
    assert 30 < sum(lr < math.sqrt(1e-4 * 1e-1) for lr in rates) < 70
    assert settings(search_of(plan).trials([])) == settings(trials)
    other = Plan({**base, "seed": 1}, "random", RANGES, runs=101)
    assert settings(search_of(other).trials([])) != settings(trials)


@pytest.mark.parametrize(("seeds", "processes"), [(1, 1), (2, 3)])
@pytest.mark.parametrize("search", ["grid", "random", "halving"])
def test_the_runs_of_a_sweep_fill_its_minutes(make_plan, search, seeds, processes):
    space = {"lr": LR, "dropout": Choice((0.0, 0.1, 0.2))}
    runs = None if search == "grid" else 9
    plan = make_plan(search, space, runs=runs, seeds=seeds, minutes=54.0, processes=processes)
    trials = finished(search_of(plan), lambda trial: 1.0)
    by_limit = {}
    for trial, _ in trials:
        by_limit.setdefault(trial.limit["max_minutes"], []).append(trial)
    minutes = sum(limit * math.ceil(len(group) / processes) for limit, group in by_limit.items())
    assert minutes == pytest.approx(54, rel=1e-3)  # limits are rounded to 1e-4 minutes


def test_halving_trains_the_best_third_three_times_as_long(make_plan):
    plan = make_plan("halving", {"lr": Range(1e-3, 1.0)}, runs=11, seeds=2)
    done = finished(search_of(plan), lambda trial: abs(trial.settings["lr"] - 0.5))
    steps = [trial.limit["max_steps"] for trial, _ in done]
    assert steps == [9] * 22 + [27] * 6 + [81] * 2
    rates = sorted({trial.settings["lr"] for trial, _ in done}, key=lambda lr: abs(lr - 0.5))
    rung = [trial.settings["lr"] for trial, _ in done]
    assert rung[22:28] == rates[:3] * 2
    assert rung[28:] == rates[:1] * 2
    assert len({trial.name for trial, _ in done}) == 30


def test_a_combination_of_which_a_run_failed_does_not_go_on(make_plan):
    plan = make_plan("halving", {"lr": Choice((1.0, 2.0, 3.0))}, runs=3, seeds=2)

    def loss(trial):
        return None if trial.settings["lr"] == 1 and trial.seed == 1 else trial.settings["lr"]

    done = finished(search_of(plan), loss)
    assert [trial.settings["lr"] for trial, _ in done[6:]] == [2.0, 2.0]
    assert len(finished(search_of(plan), lambda trial: None)) == 6


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", ["grid", "each", "random", "halving"])
def test_the_order_of_ends_changes_no_trial_and_trials_only_grow(make_plan, name, seed):
    """Whatever runs end first, and however often all is read anew."""
    each = {"changes": ({"lr": 1}, {"dropout": 0})} if name == "each" else {"space": RANGES}
    each = {"space": {"lr": LR, "dropout": DROPOUT}} if name == "grid" else each
    runs = 11 if name in ("random", "halving") else None
    plan = make_plan(name, runs=runs, seeds=2, **each)
    straight = [trial for trial, _ in finished(search_of(plan), loss_of)]
    source, results, before = random.Random(seed), [], []
    while True:
        source.shuffle(results)
        trials = list(search_of(plan).trials(results))
        assert trials[: len(before)] == before
        before = trials
        ended = {one.trial.name for one in results}
        waiting = [trial for trial in trials if trial.name not in ended]
        if not waiting:
            break
        trial = source.choice(waiting)
        results.append(result(trial, loss_of(trial)))
    assert before == straight


@pytest.mark.parametrize(
    ("search", "changes", "message"),
    [
        ("grid", {"space": RANGES}, "a range has too many values for a grid"),
        ("grid", {"space": {"lr": LR}, "runs": 3}, "--runs does not go with a grid"),
        ("random", {"space": RANGES}, "give --runs N"),
        ("random", {"runs": 3}, "chooses values: give --vary"),
        ("random", {"space": {"lr": LR}, "runs": 4}, "there are only about 3 combinations"),
        ("halving", {"space": RANGES, "runs": 2}, "give --runs 3 or more, got 2"),
        ("halving", {"space": RANGES, "runs": 300}, "max_steps 81 leaves no step"),
        ("grid", {"space": {"lr": LR}, "minutes": 0.05}, "leaves 1 seconds for a run, of 3"),
        (
            "halving",
            {"space": RANGES, "runs": 9, "minutes": 0.5},
            "leaves 1.1 seconds for the shortest run, of 13: give at least 0.9",
        ),
    ],
)
def test_a_plan_that_a_search_cannot_carry_out_is_refused(make_plan, search, changes, message):
    with pytest.raises(UserError, match=message):
        search_of(make_plan(search, **changes))


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({}, "seed-3"),
        ({"lr": 0.003, "qk_norm": False}, "lr-0.003_qk_norm-false_seed-3"),
        ({"max_steps": None, "lr": 1 / 3}, f"max_steps-null_lr-{1 / 3!r}_seed-3"),
    ],
)
def test_a_run_is_named_after_its_settings(settings, name):
    assert name_of(settings, 3) == name


def test_names_are_short_safe_and_different_where_letters_had_to_go():
    paths = [
        None,
        "null",
        1,
        "1",
        "Bücher/a.txt",
        "bücher/a.txt",
        "b:cher/a.txt",
        "x" * 300,
        "x" * 301,
    ]
    names = [name_of({"data_path": path}, 0) for path in paths]
    assert len({name.lower() for name in names}) == len(paths)
    for name in names:
        assert name.isascii()
        assert len(name) < 110
        assert not {*name} & {*'/\\:*?"<>| '}
