"""Limits of time and of steps that are given, lifted or changed, at the start and on resuming."""

import math
import re
from pathlib import Path

import pytest
import torch

from tests.marks import first_fast
from transformer.config.files import load_config
from transformer.run.fit import train
from transformer.run.verification import InterruptAfter
from transformer.storage.run_folder import LAST
from transformer.system.errors import UserError
from transformer.training.callbacks.after_batch import AfterBatch
from transformer.training.callbacks.throughput import Throughput

SCHEDULE = {"schedule": "trapezoid", "decay_fraction": 0.5, "final_lr_fraction": 0.0}
SCHEDULE |= {"warmup_steps": 0, "val_every_steps": 10**6}
SCHEDULE |= {"compile": False}  # which takes seconds of the clock, before the first step


class Minutes(AfterBatch):
    """Lets a minute pass, by a run's own clock, every so many steps."""

    def __init__(self, steps):
        self.steps = steps

    def after_batch(self, trainer, batch):
        if trainer.global_step % self.steps == 0:
            (throughput,) = [c for c in trainer.callbacks if isinstance(c, Throughput)]
            throughput._elapsed_before += 60


def lr_of(folder):
    groups = torch.load(folder / LAST, weights_only=True)["optimizer_states"][0]["param_groups"]
    return groups[0]["lr"]


@pytest.fixture
def timed(train_here):
    """A run of 10 minutes, a minute every 3 steps; its learning rate has come to its end."""
    clock = [Minutes(3)]
    folder = train_here(max_steps=None, max_minutes=10, epochs=1000, callbacks=clock, **SCHEDULE)
    assert lr_of(folder) < 0.0021  # a tenth of the run is its last minute
    return folder


def said(caplog):
    """The learning rates before and after, of the line that says so."""
    lines = re.findall(r"the learning rate was (\S+) and continues at (\S+)", caplog.text)
    return [tuple(map(float, line)) for line in lines]


@pytest.mark.slow
def test_without_its_time_limit_a_run_goes_on_by_steps(train_here, timed, caplog):
    step = torch.load(timed / LAST, weights_only=True)["global_step"]
    assert 27 <= step <= 30
    changes = {"max_minutes": None, "max_steps": 4 * step}
    caplog.set_level("INFO")
    config = load_config(str(timed / "config.yaml"), changes)
    rates = Rates()
    train_here(str(timed / "config.yaml"), resume=timed / LAST, callbacks=[rates], **changes)
    ((before, after),) = said(caplog)
    assert before < 0.0021
    assert after == pytest.approx(config.lr)  # a quarter of the way is before the decay
    expected = [config.lr * min(1, 2 * (1 - n / (4 * step))) for n in range(step, 4 * step)]
    assert rates.used == pytest.approx(expected)


class Rates(AfterBatch):
    """The learning rate of each step."""

    def __init__(self):
        self.used = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.used.append(trainer.optimizers[0].param_groups[0]["lr"])

    def after_batch(self, trainer, batch):
        pass


@pytest.mark.slow
@pytest.mark.parametrize("minutes", [20, 40])
def test_a_larger_time_limit_counts_the_minutes_before(train_here, timed, caplog, minutes):
    caplog.set_level("INFO")
    config, last = str(timed / "config.yaml"), timed / LAST
    step = torch.load(last, weights_only=True)["global_step"]
    train_here(config, resume=last, max_minutes=minutes, callbacks=[Minutes(3)])
    ((before, after),) = said(caplog)
    assert before < 0.0021
    assert after == pytest.approx(0.01 * min(1, 2 * (1 - 10 / minutes)), rel=0.1)
    ended_at = torch.load(last, weights_only=True)["global_step"]
    assert ended_at - step == pytest.approx(3 * (minutes - 10), abs=5)


@pytest.mark.parametrize("minutes", first_fast([9.999, 0.5]))
def test_a_smaller_time_limit_leaves_nothing_to_do(train_here, timed, minutes):
    with pytest.raises(UserError, match=r"has trained for .* give a larger `max_minutes`"):
        train_here(str(timed / "config.yaml"), resume=timed / LAST, max_minutes=minutes)


@pytest.mark.slow
def test_a_time_limit_given_on_resuming_takes_the_place_of_max_steps(train_here, caplog):
    """The minutes so far count: 30 steps took 10, and 20 more are left."""
    caplog.set_level("INFO")
    folder = train_here(max_steps=30, callbacks=[Minutes(3)], **SCHEDULE)
    train_here(
        str(folder / "config.yaml"), resume=folder / LAST, max_minutes=30, callbacks=[Minutes(3)]
    )
    assert torch.load(folder / LAST, weights_only=True)["global_step"] == pytest.approx(90, abs=5)
    ((before, after),) = said(caplog)
    assert (before, after) == (0, pytest.approx(0.01, rel=0.05))  # a third of the way: no decay
    config = load_config(folder / "config.yaml")
    assert (config.max_steps, config.epochs, config.max_minutes) == (None, None, 30)


@pytest.mark.parametrize(
    ("changes", "before", "after"),
    [
        ({"max_steps": 40}, 0.001, 0.0055),  # halfway on a cosine from 0.01 to 0.001
        *(
            pytest.param({"max_steps": 40} | changes, 0.001, after, marks=pytest.mark.slow)
            for changes, after in (
                ({"final_lr_fraction": 0.5}, 0.0075),
                ({"schedule": "constant"}, 0.01),
                ({"lr": 0.1}, 0.055),
            )
        ),
    ],
    ids=str,
)
def test_a_changed_schedule_says_the_learning_rate_before_and_after(
    train_here, caplog, changes, before, after
):
    caplog.set_level("INFO")
    folder = train_here(max_steps=20, schedule="cosine", warmup_steps=0)
    assert said(caplog) == []
    train_here(str(folder / "config.yaml"), resume=folder / LAST, **changes)
    assert said(caplog) == [(before, pytest.approx(after))]


@pytest.mark.slow
def test_a_batch_that_makes_a_run_longer_changes_the_schedule(train_here, caplog):
    caplog.set_level("INFO")
    keys = {"max_steps": None, "stride": "block_size", "epochs": 3, "warmup_steps": 0}
    folder = train_here(**keys)
    train_here(str(folder / "config.yaml"), resume=folder / LAST, batch_size=3)
    ((before, after),) = said(caplog)
    assert before == pytest.approx(0.001)
    assert after > 2 * before


@pytest.mark.slow
def test_an_unchanged_schedule_says_nothing(train_here, caplog):
    caplog.set_level("INFO")
    with pytest.raises(SystemExit):
        train_here(callbacks=[InterruptAfter(35)], run_name="run")
    folder = Path("runs", "run", "version_0")
    train_here(str(folder / "config.yaml"), resume=folder / LAST)
    assert said(caplog) == []


def flags_of(**flags):
    return {key: None if value == "none" else value for key, value in flags.items()}


@pytest.mark.parametrize(
    ("flags", "limits"),
    [
        ({"max_minutes": "10"}, (None, None, 10)),
        ({"max_minutes": "10", "max_steps": "5"}, (None, 5, 10)),
        ({"max_minutes": "10", "epochs": "5"}, (5, None, 10)),
        ({"max_minutes": "none"}, (2, 70, None)),
        ({"max_steps": "5"}, (2, 5, None)),
        ({}, (2, 70, None)),
    ],
    ids=str,
)
def test_a_max_minutes_flag_lifts_the_files_other_limits(write_inputs, tmp_path, flags, limits):
    write_inputs(tmp_path)
    config = load_config(tmp_path / "tiny.yaml", flags_of(**flags))
    assert (config.epochs, config.max_steps, config.max_minutes) == limits


def test_limits_that_stand_in_one_file_all_hold(write_inputs, tmp_path):
    write_inputs(tmp_path)
    with (tmp_path / "tiny.yaml").open("a") as file:
        file.write("max_minutes: 10\n")
    config = load_config(tmp_path / "tiny.yaml")
    assert (config.epochs, config.max_steps, config.max_minutes) == (2, 70, 10)
    config = load_config(tmp_path / "tiny.yaml", {"max_minutes": "20"})
    assert (config.epochs, config.max_steps, config.max_minutes) == (None, None, 20)


def test_a_run_that_nothing_would_end_is_refused(write_inputs, tmp_path):
    write_inputs(tmp_path)
    with pytest.raises(UserError, match=r"nothing would end this run: .*; give one"):
        load_config(tmp_path / "tiny.yaml", {"max_steps": None, "epochs": None})


class AskToStop(AfterBatch):
    """As a callback of the user's does, after a batch within a step."""

    def __init__(self, batch_idx):
        self.batch_idx = batch_idx

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.asks = batch_idx == self.batch_idx

    def after_batch(self, trainer, batch):
        trainer.should_stop = trainer.should_stop or self.asks


@pytest.mark.parametrize(("batch_idx", "steps"), [(5, 2), (6, 3), (7, 3), (8, 3)])
def test_whoever_stops_a_run_stops_it_between_two_steps(train_here, summary_of, batch_idx, steps):
    folder = train_here(accumulate_grad_batches=3, callbacks=[AskToStop(batch_idx)])
    state = torch.load(folder / LAST, weights_only=True)
    assert state["global_step"] == summary_of(folder)["step"] == steps
    assert state["CharacterDataModule"]["examples_consumed"] == steps * 3 * 7


def test_a_time_limit_stops_between_two_steps(train_here, monkeypatch):
    """The time is over in the middle of the fourth step."""
    from transformer.training.callbacks.stopping import TimeLimit

    class Clock(AfterBatch):
        batches = 0

        def after_batch(self, trainer, batch):
            Clock.batches += 1

    monkeypatch.setattr(TimeLimit, "share", property(lambda self: min(1.0, Clock.batches / 8)))
    keys = {"max_minutes": 10, "max_steps": None, "epochs": 1000}
    folder = train_here(accumulate_grad_batches=2 + 1, callbacks=[Clock()], **keys)
    state = torch.load(folder / LAST, weights_only=True)
    assert state["global_step"] == math.ceil(8 / 3)
    assert state["CharacterDataModule"]["examples_consumed"] == state["global_step"] * 3 * 7


def test_time_that_was_spent_on_planning_takes_nothing_from_the_schedule(short_runs):
    rates = Rates()
    config = load_config("tiny.yaml", SCHEDULE | {"max_minutes": 10, "max_steps": 40})
    train(config, callbacks=[rates], spent_seconds=540.0)
    assert rates.used[:20] == pytest.approx([config.lr] * 20)
