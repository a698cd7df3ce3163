"""Sweeps that are killed, stopped or lose a process: they go on as if nothing had happened."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.sweep_losses import losses
from transformer.storage.run_folder import LAST, SUMMARY

ROOT = Path(__file__).parents[2]


class Started:
    """A sweep in a group of processes of its own."""

    def __init__(self, folder, environment, *flags):
        command = [sys.executable, ROOT / "sweep.py", *map(str, flags)]
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )

    def end_group(self, number):
        os.killpg(self.process.pid, number)
        return self.process.communicate(timeout=300)


def wait_until(happened, seconds=300):
    ends_at = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < ends_at
        time.sleep(0.05)


LONG = "--config tiny.yaml --vary lr=1e-2,2e-2,3e-2 --max_steps 400 --epochs 99".split()


@pytest.fixture
def start(tmp_path, environment, write_inputs):
    write_inputs(tmp_path)
    started = []

    def begin(*flags):
        started.append(Started(tmp_path, environment, *flags))
        return started[-1]

    yield begin
    for one in started:
        if one.process.poll() is None:
            one.end_group(signal.SIGKILL)


def trains(folder):
    return lambda: [*folder.glob("*/version_0/training.lock")]


def assert_the_same(swept, tmp_path):
    """What was killed ends as what was not."""
    straight, last = (swept(*LONG[2:], "--name", name) for name in ("straight", "killed"))
    assert (straight.returncode, last.returncode) == (0, 0), last.stderr
    assert last.stdout == straight.stdout
    folder = tmp_path / "sweeps"
    assert losses(folder / "killed") == losses(folder / "straight")


@pytest.mark.slow
@pytest.mark.long
def test_the_search_tpe_chooses_the_same_after_a_kill(start, swept, tmp_path):
    flags = "--vary lr=1e-3..1e-1:log dropout=0..0.2 --runs 5 --max_steps 100 --epochs 99".split()
    straight = swept(*flags, "--sampler", "tpe", "--name", "straight")
    assert straight.returncode == 0, straight.stderr
    folder = tmp_path / "sweeps"
    killed = start("--config", "tiny.yaml", *flags, "--search", "tpe", "--name", "killed")
    wait_until(lambda: len([*(folder / "killed").glob(f"*/version_0/{SUMMARY}")]) >= 2)
    killed.end_group(signal.SIGKILL)
    last = swept("--resume", "sweeps/killed")
    assert last.returncode == 0, last.stderr
    assert last.stdout == straight.stdout
    assert losses(folder / "killed") == losses(folder / "straight")
    assert len(losses(folder / "killed")) == 5


@pytest.mark.slow(seconds=50)
@pytest.mark.parametrize("kills", [1, pytest.param(10, marks=pytest.mark.long)])
def test_a_sweep_that_is_killed_at_random_ends_with_the_same_table(start, swept, tmp_path, kills):
    source = random.Random(kills)
    for number in range(kills):
        one = start(*LONG, "--name", "killed", "--processes", 1 + number % 2)
        wait_until(trains(tmp_path / "sweeps" / "killed"))
        time.sleep(source.uniform(0, 1))
        assert one.process.poll() is None  # it has not ended by itself
        one.end_group(signal.SIGKILL)
        for lock in trains(tmp_path / "sweeps" / "killed")():
            lock.unlink()  # so that the next one is waited for
    assert_the_same(swept, tmp_path)


@pytest.mark.slow
@pytest.mark.long
def test_the_runs_of_a_sweep_that_is_killed_alone_are_saved_and_go_on(start, swept, tmp_path):
    one = start(*LONG, "--name", "killed")
    folder = tmp_path / "sweeps" / "killed"
    wait_until(lambda: [*folder.glob(f"*/version_0/{LAST}")])
    one.process.kill()
    one.process.communicate(timeout=300)
    (log,) = folder.glob("*/output.log")
    wait_until(lambda: "everything is saved" in log.read_text(encoding="utf-8"))
    assert_the_same(swept, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("to_all", [True, False])
def test_ctrl_c_saves_the_runs_and_says_how_to_go_on(start, swept, tmp_path, to_all):
    one = start(*LONG[:-3], 100_000, "--epochs", 9999)
    runs = tmp_path / "sweeps" / "tiny"
    wait_until(lambda: [*runs.glob(f"*/version_0/{LAST}")])
    if to_all:
        _, said = one.end_group(signal.SIGINT)
        assert one.process.returncode == 130
    else:
        one.process.send_signal(signal.SIGTERM)
        _, said = one.process.communicate(timeout=300)
        assert one.process.returncode == 143
    assert said.splitlines()[-1] == "  python sweep.py --resume sweeps/tiny"
    (log,) = runs.glob("*/output.log")
    assert "everything is saved" in log.read_text(encoding="utf-8")
    assert not [*runs.glob(f"*/version_0/{SUMMARY}")]
    assert not (runs / "failures.json").exists()


@pytest.mark.slow(seconds=30)
def test_a_run_whose_process_is_killed_has_failed_and_the_rest_goes_on(start, tmp_path):
    one = start(*LONG)
    run = tmp_path / "sweeps" / "tiny" / "lr-0.01_seed-0" / "version_0"
    wait_until((run / "training.lock").exists)
    wait_until(lambda: (run / "training.lock").read_text(encoding="utf-8"))
    holder = json.loads((run / "training.lock").read_text(encoding="utf-8"))
    other = start(*LONG)
    _, said = other.process.communicate(timeout=300)
    assert "is running this sweep: stop it, or wait for its end" in said
    os.kill(holder["pid"], signal.SIGKILL)
    one.process.communicate(timeout=300)
    first, *others = losses(tmp_path / "sweeps" / "tiny")
    assert "its process was ended by SIGKILL, perhaps for lack of memory" in first[2]
    assert [error for _, _, error in others] == [None, None]
