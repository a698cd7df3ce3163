"""train.py --repeat follows what the clock decided in a run with a time limit."""

from contextlib import suppress

import pytest

from tests.command_line.test_repeat import again, copy_of, last_step
from tests.kills import KillAfter, Killed
from tests.marks import first_fast
from transformer.run.comparison import curves
from transformer.run.verification import InterruptAfter
from transformer.training.callbacks.announcements import Announcements
from transformer.training.callbacks.throughput import Throughput


@pytest.mark.parametrize(
    "changes",
    first_fast(
        [
            {"snapshots": 3},
            {"val_every_steps": 4},
            {"accumulate_grad_batches": 3, "batch_size": 2, "schedule": "trapezoid"},
            {"optimizer": "muon", "ngram_size": 2, "r_drop": 1, "num_workers": 1},
        ]
    ),
    ids=str,
)
def test_a_run_that_the_clock_ended_is_repeated_to_its_step_at_its_learning_rates(
    train_here, repeat, changes
):
    keys = {"val_every_steps": "auto", "dropout": 0.1, "run_name": "timed"} | changes
    run = train_here(max_minutes=0.02, **keys)
    status, said = repeat(run)
    assert status == 0, said
    assert f"repeats {run}, {last_step(run)} steps" in said


def test_a_run_of_several_sittings_under_the_clock_is_repeated_in_one(train_here, repeat, tmp_path):
    keys = {"max_minutes": 1, "val_every_steps": "auto", "snapshots": 3, "dropout": 0.1}
    run = tmp_path / "runs/gpt/version_0"
    with pytest.raises(SystemExit):
        train_here(callbacks=[InterruptAfter(3)], schedule="cosine", **keys)
    for end in (KillAfter(6), InterruptAfter(5)):
        with pytest.raises((SystemExit, Killed)):
            train_here(callbacks=[end], **again(run))
    status, said = repeat(run)
    assert "repeated up to step 5" in said
    assert status == 0, said
    train_here(**again(run, max_steps=12))
    status, said = repeat(run)
    assert status == 0, said
    assert curves(run)["lr"][0][1] < 1e-2  # the clock has lowered it


def test_a_repeat_may_take_longer_than_the_minutes_of_the_run(
    train_here, repeat, tmp_path, monkeypatch, caplog
):
    run = tmp_path / "runs/gpt/version_0"
    with pytest.raises(SystemExit):
        train_here(callbacks=[InterruptAfter(5)], max_minutes=0.03)
    train_here(**again(run, max_minutes=0.04))
    begin = Throughput.on_train_start

    def begin_late(self, *arguments):
        begin(self, *arguments)
        self._elapsed_before += 600

    monkeypatch.setattr(Throughput, "on_train_start", begin_late)
    monkeypatch.setattr(Announcements, "SECONDS_BEFORE_ESTIMATE", 0.0)
    caplog.set_level("INFO")
    status, said = repeat(run)
    assert status == 0, said
    assert "days left" not in caplog.text


@pytest.mark.parametrize(
    "keys",
    first_fast(
        [
            {"val_every_steps": 30},
            {"val_every_steps": "auto"},
            {"val_every_steps": 30, "accumulate_grad_batches": 3, "batch_size": 2},
        ]
    ),
    ids=str,
)
def test_a_run_that_went_on_after_the_clock_had_ended_it_is_validated_at_both_ends(
    train_here, repeat, keys
):
    run = train_here(max_minutes=0.02, **keys)
    first_end = last_step(run)
    train_here(**again(run, max_minutes=0.04))
    status, said = repeat(run)
    assert status == 0, said
    assert first_end in dict(curves(copy_of(run))["val_loss"])


@pytest.mark.parametrize(
    "first_limits", first_fast([{"max_minutes": 0.02}, {"max_minutes": 1}, {"max_steps": 40}])
)
def test_a_time_limit_that_was_given_or_taken_away_on_the_way(
    train_here, repeat, tmp_path, first_limits
):
    run = tmp_path / "runs/gpt/version_0"
    stops = [InterruptAfter(7)] if first_limits == {"max_minutes": 1} else []
    with suppress(SystemExit):
        train_here(callbacks=stops, epochs=None, **first_limits)
    then = {"max_minutes": None, "max_steps": last_step(run) + 50}
    if "max_steps" in first_limits:
        then = {"max_minutes": 0.04, "max_steps": None}
    train_here(**again(run, **then))
    status, said = repeat(run)
    assert status == 0, said
    assert "its clock is not recorded" not in said
