"""A run's advice to train several seeds is a command that sweep.py takes as it is printed."""

import re
import shlex
from dataclasses import replace

import pytest

import sweep
from transformer.config.files import load_config, to_yaml
from transformer.config.flags import given_flags
from transformer.config.keys import Config
from transformer.run import summary
from transformer.run.callbacks import finished
from transformer.storage.run_folder import CONFIG
from transformer.sweep.planning import read_base


def base_of(flags):
    arguments = sweep.make_parser().parse([*shlex.split(flags), "--seeds", "4", "--ensemble"])
    return read_base(arguments.config, given_flags(arguments, Config), None)


@pytest.fixture
def ended(train_here, monkeypatch):
    """Trains a step; gives the Run at its end."""
    runs = []

    def seen(run, *facts):
        runs.append(run)
        return finished(run, *facts)

    monkeypatch.setattr(summary, "finished", seen)

    def train(**keys):
        train_here(max_steps=1, **keys)
        return runs[-1]

    return train


def test_the_seeds_of_a_run_on_one_device_are_trained_as_it_was(ended):
    run = ended(devices="auto", accumulate_grad_batches=3)
    base = base_of(finished(run, 1).sweep_flags)
    assert base.devices == 1
    assert base.accumulate_grad_batches == 3
    assert finished(ended(), 1).sweep_flags.endswith(" --name gpt-seeds")


def test_the_seeds_of_a_run_on_several_devices_read_as_much_in_each_step(ended):
    run = ended(accumulate_grad_batches=3)
    keys = {"devices": 2, "num_nodes": 2, "strategy": "fsdp", "optimizer": "adamw"}
    path = run.folder / CONFIG
    path.write_text(to_yaml(load_config(path, keys).resolved()), encoding="utf-8")
    config = run.config.model_copy(update=keys)
    base = base_of(finished(replace(run, config=config, num_devices=4), 1).sweep_flags)
    assert (base.devices, base.num_nodes, base.strategy) == (1, 1, "auto")
    assert base.accumulate_grad_batches == 4 * 3


@pytest.mark.slow
def test_the_command_that_a_run_on_two_devices_prints_trains_four_seeds(
    run, write_inputs, tmp_path
):
    write_inputs(tmp_path)
    flags = "--config tiny.yaml --devices 2 --strategy ddp --epochs none --val_every_steps 300"
    done = run("train.py", *flags.split(), "--max_steps", 300, cwd=tmp_path)
    (command,) = re.findall(r"try python sweep\.py (.*) \(on one device, 8 times", done.stdout)
    swept = run("sweep.py", *shlex.split(command), cwd=tmp_path)
    assert swept.returncode == 0, swept.stderr
    assert "4 of 4" in swept.stdout + swept.stderr
    assert "averaged" in swept.stdout
