"""A sweep goes on after any end, keeps what failed, and depends on no number of processes."""

import json
import os
import random
from pathlib import Path

import pytest

from tests.marks import first_fast
from transformer.storage.run_folder import LAST
from transformer.storage.run_lock import Holder, RunLock
from transformer.sweep.folder import SweepFolder
from transformer.sweep.plan_file import load, save
from transformer.sweep.processes import Worker
from transformer.sweep.registry import search_of
from transformer.sweep.report import table
from transformer.sweep.searches.random import Random
from transformer.sweep.space import Choice, Range
from transformer.sweep.starting import opened
from transformer.sweep.sweeping import Sweep

LRS = {"lr": Range(0.1, 1.0)}
PLANS = {
    "grid": {"space": {"lr": Choice((0.1, 0.2)), "dropout": Choice((0.0, 0.1))}},
    "halving": {"space": LRS, "runs": 4, "seeds": 2},
    "each": {"changes": ({"lr": 0.3}, {"dropout": 0.5, "weight_decay": 0.0})},
    "random": {"space": LRS, "runs": 3},
}


class Killed(BaseException):
    """As SIGKILL, it leaves no time for anything."""


class World:
    """In place of processes. Each run fails, or has a loss that follows from its settings.

    The process of the sweep is killed after `lives` events: the start or the end of a run.
    """

    def __init__(self, lives=10**9):
        self.lives = lives
        self.num_events = 0
        self.trained = []

    def event(self):
        if self.num_events == self.lives:
            raise Killed
        self.num_events += 1

    def start(self, trial, place, job):
        self.event()
        self.trained.append(trial.name)
        return Run(self, trial, place, job)


class Run(Worker):
    elapsed_seconds, has_ended, sentinel = 1.5, True, 0

    def __init__(self, world, trial, place, job):
        self.world, self.trial, self.place, self.job = world, trial, place, job
        self.sentinel, writer = os.pipe()
        os.close(writer)  # so that it looks as if it had ended

    def ask_to_stop(self):
        raise Killed  # a sweep that was killed asks nobody

    def join(self):
        os.close(self.sentinel)
        config = self.job.config
        folder = folder_of(config)
        folder.mkdir(parents=True, exist_ok=True)
        self.world.event()
        number = random.Random(f"{self.trial.name}!").random()
        if number < 0.25:
            return f"failed with {number}"
        loss = float("nan") if number < 0.4 else number
        summary = {"val_loss": loss, "val_bits_per_byte": loss}
        (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
        self.world.event()
        return None


def folder_of(config):
    return Path(config.runs_dir, config.run_name, "version_0")


@pytest.fixture
def sweep(make_plan, tmp_path):
    """Starts a sweep, or goes on with it; gives its results, and what it has reported."""

    def run(name, where, world, places=(None,), **changes):
        plan = make_plan(name, **PLANS[name], **changes)
        path = tmp_path / where
        path.mkdir(exist_ok=True)
        save(plan, path / "sweep.yaml")
        said = []
        results = Sweep(SweepFolder(path, plan), places, ["sweep.py"], said.append, world.start)
        return results.run(), said

    return run


def outcomes(results):
    """Without the place of the folder."""
    return [(one.trial, one.loss, one.error) for one in results]


@pytest.mark.parametrize("name", first_fast(PLANS))
def test_a_sweep_that_is_killed_at_any_event_ends_as_one_that_is_not(sweep, make_plan, name):
    world = World()
    straight, said = sweep(name, "straight", world)
    assert len(said) == len(straight)
    plan = make_plan(name, **PLANS[name])
    for lives in range(world.num_events):
        with pytest.raises(Killed):
            sweep(name, f"killed {lives}", World(lives))
        results, _ = sweep(name, f"killed {lives}", World())
        assert outcomes(results) == outcomes(straight)
        assert table(plan, results) == table(plan, straight)


def test_a_sweep_that_is_killed_again_and_again_ends_and_trains_nothing_twice(sweep, tmp_path):
    straight, _ = sweep("halving", "straight", World())
    ends, trained = 0, []
    while True:
        world = World(5)
        try:
            results, _ = sweep("halving", "killed", world, (None, None))
            break
        except Killed:
            ends += 1
        finally:
            trained += world.trained
    assert ends > 3
    folder = SweepFolder(tmp_path / "killed", read_plan(tmp_path / "killed"))
    assert outcomes(results) == outcomes(straight) == outcomes(folder.results().ended())
    # Twice is only what was in work when the sweep was killed: of two processes.
    assert len(trained) - len({*trained}) <= 2 * ends
    assert sweep("halving", "killed", World(0))[1] == []  # nothing is left to start


@pytest.mark.parametrize("name", PLANS)
def test_two_processes_give_the_results_of_one(sweep, name):
    one, _ = sweep(name, "one", World())
    three, _ = sweep(name, "three", World(), (None, None, None))
    assert outcomes(three) == outcomes(one)


def test_failed_runs_are_kept_and_counted_and_the_rest_goes_on(sweep, tmp_path):
    results, said = sweep("grid", "a", World(), seeds=3)
    failed = [one for one in results if one.loss is None]
    assert 0 < len(failed) < len(results) == 12
    errors = {one.error[:11] for one in failed}
    assert errors == {"failed with", "its val_los"}
    assert sum("failed: " in line for line in said) == len(failed)
    assert said[-1].startswith("[12 of 12] lr 0.2, dropout 0.1, seed 2: ")
    world = World()
    folder = SweepFolder(tmp_path / "a", read_plan(tmp_path / "a"))
    assert {*folder.failures} == {one.trial.name for one in failed if "failed" in one.error}
    folder.forget_failures()
    again = Sweep(folder, [None], [], said.append, world.start).run()
    assert {*world.trained} == {one.trial.name for one in failed}  # also those whose loss is nan
    assert outcomes(again) == outcomes(results)


def read_plan(path):
    return load(path / "sweep.yaml")


def test_runs_get_their_settings_their_seed_and_a_folder_of_the_sweep(sweep, tmp_path):
    jobs = []

    class Watching(World):
        def start(self, trial, place, job):
            jobs.append((trial, place, job))
            return super().start(trial, place, job)

    sweep("each", "a", Watching(), ("2", "5"))
    assert {place for _, place, _ in jobs} == {"2", "5"}
    for trial, place, job in jobs:
        assert {key: job.config.resolved()[key] for key in trial.settings} == dict(trial.settings)
        assert job.config.seed == trial.seed
        assert folder_of(job.config).parent == tmp_path / "a" / trial.name
        assert (job.config.accelerator, job.config.devices) == ("cuda", 1)
        assert job.variables == {"CUDA_VISIBLE_DEVICES": place}


def test_a_run_that_ended_before_its_first_checkpoint_begins_anew_in_its_place(sweep, tmp_path):
    plan_path = tmp_path / "a"
    with pytest.raises(Killed):
        sweep("random", "a", World(1))
    (begun,) = plan_path.glob("*/version_0")
    (begun / "events").touch()
    folder = SweepFolder(plan_path, read_plan(plan_path))
    (trial, *_) = [t for t in trials_of(folder) if t.name == begun.parent.name]
    assert folder.checkpoints_of(trial) == ()
    assert not begun.exists()
    (begun / LAST.parent).mkdir(parents=True)
    (begun / LAST).touch()
    (begun / "config.yaml").touch()
    assert folder.checkpoints_of(trial) == [begun / LAST]


def test_a_run_that_another_process_still_trains_is_waited_for(sweep, tmp_path, monkeypatch):
    """As that of a sweep which was killed alone: it saves its state and ends a moment later."""
    straight, _ = sweep("random", "straight", World())
    with pytest.raises(Killed):
        sweep("random", "a", World(1))
    looks = [Holder("here", 7), Holder("here", 7)]

    def holder_of(self, trial):
        return looks.pop() if looks and self.run_of(trial) is not None else None

    monkeypatch.setattr(SweepFolder, "holder_of", holder_of)
    results, said = sweep("random", "a", World())
    assert looks == []
    assert outcomes(results) == outcomes(straight)
    assert ["waiting for process 7 on here" in line for line in said].count(True) == 1


def test_a_search_is_asked_again_only_when_there_are_more_results(sweep, monkeypatch):
    calls = []
    trials_of = Random.trials
    monkeypatch.setattr(
        Random,
        "trials",
        lambda self, results: calls.append(len(results)) or trials_of(self, results),
    )
    sweep("random", "a", World())
    assert calls == [0, 1, 2, 3]


def trials_of(folder):
    return search_of(folder.plan).trials([])


def test_a_folder_of_a_sweep_that_was_killed_before_it_had_a_plan_is_taken(make_plan, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "training.lock").write_text("{}", encoding="utf-8")
    (tmp_path / "a" / ".sweep.yaml.1234.tmp").touch()
    plan = make_plan("grid", **PLANS["grid"])
    with RunLock() as lock:
        opened(tmp_path / "a", plan, lock)
        assert load(tmp_path / "a" / "sweep.yaml") == plan
