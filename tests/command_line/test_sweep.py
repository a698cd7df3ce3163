"""sweep.py as a user runs it. Where runs are trained, each is a process of its own."""

import json
import sys
from pathlib import Path

import pytest

import sweep
from tests.sweep_losses import losses
from transformer.storage.run_folder import WEIGHTS
from transformer.system import packages
from transformer.system.errors import UserError

ROOT = Path(__file__).parents[2]
MISSING = "cuda" if sys.platform == "darwin" else "mps"  # a device
VARY = "--vary lr=1e-2,3e-2 dropout=0,0.1 --max_steps 30".split()


@pytest.fixture
def refused(short_runs):
    """The error of a command with tiny.yaml, which makes no folder."""

    def call(flags):
        with pytest.raises(UserError) as caught:
            sweep.main(["--config", "tiny.yaml", *flags.split()])
        assert not Path("sweeps").exists()
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return call


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("", "nothing to compare: give --vary lr=1e-3,1e-2, --try dropout=0, or --seeds 2"),
        ("--vary num_heads=2,3", "num_heads 3: embedding_dim must be divisible by num_heads"),
        ("--vary lr=1,2 --try dropout=0", "two kinds of sweeps"),
        ("--try dropout=0 --search random", "--search random does not go with --try"),
        ("--try dropout=0.1+r_drop=1 lr=0.01", "--try lr=0.01: the config is so already"),
        ("--try r_drop=1", "r_drop 1: r_drop: 1 needs a dropout above 0"),
        ("--seeds 2 --search halving --runs 9", "--search halving chooses values: give --vary"),
        ("--vary lr=1,2 --search greedy", "search must be 'grid', 'halving', 'random' or 'tpe'"),
        ("--vary lr=1,2 --minutes 1 --max_steps 3", "--max_steps does not go with --minutes"),
        ("--vary max_steps=1,2 --minutes 1", "max_steps: cannot be varied where the sweep itself"),
        ("--vary lr=1,2 --minutes 0.01", "--minutes 0.01 leaves 0.3 seconds for a run, of 2"),
        ("--vary lr=1,2 --runs_dir x", "--runs_dir does not go with a sweep"),
        ("--vary lr=1,2 --devices 2", "devices must be 1 in a sweep, got 2"),
        ("--vary lr=1,2 --gpus 0,0", "--gpus 0,0: a device is given twice"),
        ("--vary lr=1,2 --gpus 0,1 --processes 3", "leave out --processes"),
        ("--vary lr=1,2 --gpus 97", "accelerator is cpu: leave out one"),
        ("--vary lr=1,2 --gpus 97 --accelerator auto", "--gpus 97: torch finds"),
        ("--vary accelerator=cpu,auto --gpus 0", "accelerator is varied: leave out one"),
        ("--vary lr=1,2 --name a/b", "it has a '/'; give another --name"),
        ("--seeds 2 --seed 4294967295", "--seeds 2: the last seed would be above 4294967295"),
        ("--seed 2 --seeds 0", "seeds must be greater than 0"),
        ("--vary data_path=hamlet.txt,gone.txt", "gone.txt: no such text file: check the name"),
        ("--try data_path=gone.txt", "gone.txt: no such text file"),
        ("--seeds 2 --val_path gone.txt", "gone.txt: no such text file"),
        ("--vary tokenizer=characters,gone.json", "gone.json: no such tokenizer file"),
        (f"--try accelerator={MISSING}", f"{MISSING}: torch "),
        ("--vary precision=float32,fp16", "precision fp16 needs a GPU, and accelerator is cpu"),
        ("--try optimizer=muon+polar=zolotarev+precision=bf16", "polar zolotarev needs a CPU and"),
        ("--seeds 2 --minutes 1e300", "--minutes: minutes must be at most 1000000"),
        ("--seeds 2 --sweeps_dir tiny.yaml/x", "tiny.yaml is a file, not a folder: give another"),
        ("--seeds 2 --sweeps_dir . --name tiny.yaml", "is a file, not a folder: give another --na"),
        ("--retry", "--retry goes with --resume SWEEP, or with the sweep's own command"),
        ("--resume sweeps/tiny", "--config does not go with --resume"),
    ],
)
def test_what_cannot_be_swept_is_refused_in_one_line(refused, flags, message):
    assert message in refused(flags)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--resume", ""], "--resume '': is empty: give the folder of a sweep"),
        (["--resume", "tiny.yaml"], "--resume tiny.yaml: is a file: give the folder of a sweep"),
        (["--seeds", "2", "--name", ""], "--name is empty: give the folder of the sweep a name"),
        (["--seeds", "2", "--gpus", ""], "--gpus must be numbers of CUDA devices, such as 0,1"),
        (["--seeds", "2", "--gpus", "0, 1"], "such as 0,1, got '0, 1'"),
    ],
)
def test_a_flag_without_a_value_that_it_can_have_is_named(short_runs, flags, message):
    with pytest.raises(UserError, match=message):
        sweep.main(flags)


def test_a_logger_whose_package_is_missing_is_refused(refused, monkeypatch):
    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    assert "wandb" in refused("--vary logger=csv,wandb")


def test_bad_input_is_one_line_and_status_2_without_torch(run, tmp_path, write_inputs):
    write_inputs(tmp_path)
    (tmp_path / "torch.py").write_text("raise SystemExit('torch was imported')")
    flags = ["--config", "tiny.yaml", "--vary", "lr=1,fast"]
    result = run("sweep.py", *flags, cwd=tmp_path, PYTHONPATH=str(tmp_path))
    error = "error: --vary: lr must be a number, got 'fast'\n"
    assert (result.returncode, result.stdout, result.stderr) == (2, "", error)


@pytest.mark.slow(seconds=40)
def test_its_runs_are_ordinary_ones_and_two_processes_train_the_same(swept, run, tmp_path):
    result = swept(*VARY, "--name", "one")
    assert result.returncode == 0, result.stderr
    folder = tmp_path / "sweeps" / "one"
    assert [loss for _, loss, _ in losses(folder) if loss is None] == []
    two = swept(*VARY, "--name", "two", "--processes", 2)
    assert two.returncode == 0, two.stderr
    assert losses(tmp_path / "sweeps" / "two") == losses(folder)
    assert result.stderr.count("val_loss") == 4
    again = swept(*VARY, "--name", "one")
    assert again.stdout == result.stdout
    assert "val_loss" not in again.stderr
    other = swept(*VARY, "--seeds", 2, "--name", "one")
    assert other.returncode == 2
    assert "another sweep (seeds 1 there, 2 here): give another --name" in other.stderr
    of_a_run = folder / "lr-0.03_dropout-0_seed-0" / "version_0"
    for script, *flags in (
        ("generate.py", of_a_run / WEIGHTS, "--max_new_tokens", 3),
        ("evaluate.py", of_a_run),
        ("plot.py", of_a_run, folder / "lr-0.01_dropout-0_seed-0"),
        ("train.py", "--resume", of_a_run, "--max_steps", 31),
    ):
        used = run(script, *flags, cwd=tmp_path)
        assert used.returncode == 0, used.stderr


@pytest.mark.slow
def test_with_json_only_json_is_printed(swept, tmp_path):
    result = swept("--seeds", 2, "--max_steps", 3, "--json")
    assert result.returncode == 0, result.stderr
    facts = json.loads(result.stdout)
    assert result.stdout == (tmp_path / "sweeps/tiny/results.json").read_text(encoding="utf-8")
    assert facts["metric"] == "val_loss"


@pytest.mark.slow
def test_runs_that_fail_are_counted_and_tried_again_when_asked(swept, tmp_path):
    (tmp_path / "other.txt").touch()
    flags = ["--vary", "data_path=hamlet.txt,other.txt", "lr=1e-2,1e30", "--max_steps", 30]
    result = swept(*flags)
    assert result.returncode == 0, result.stderr
    found = {name: error for name, _, error in losses(tmp_path / "sweeps" / "tiny")}
    first, *failed = found.values()
    assert first is None
    assert "the gradient was not finite" in failed[0]
    assert "other.txt: " in failed[1]
    assert result.stderr.count("failed: ") == 3
    (tmp_path / "other.txt").write_bytes((tmp_path / "hamlet.txt").read_bytes())
    assert "failed" not in swept("--resume", "sweeps/tiny").stderr
    assert swept("--resume", "sweeps/tiny", "--retry").returncode == 0
    errors = [error for _, _, error in losses(tmp_path / "sweeps" / "tiny")]
    assert [error is None for error in errors] == [True, False, True, False]


@pytest.mark.slow
def test_a_sweep_of_which_every_run_failed_has_failed(swept, tmp_path):
    (tmp_path / "empty.txt").touch()
    result = swept("--seeds", 2, "--data_path", "empty.txt", "--accelerator", "cpu", "--json")
    assert result.returncode == 2
    assert "error: every run failed; the first: empty.txt: " in result.stderr
    assert result.stderr.splitlines()[-1].endswith("correct it and give --retry")
    assert "empty.txt: " in result.stdout
    assert result.stdout == (tmp_path / "sweeps/tiny/results.json").read_text(encoding="utf-8")
    assert json.loads(result.stdout)["metric"] == "val_loss"


def test_a_folder_that_is_no_sweep_is_left_alone(short_runs, tmp_path):
    flags = ["--config", "tiny.yaml", "--seeds", "2"]
    folder = tmp_path / "sweeps" / "tiny"
    folder.mkdir(parents=True)
    (folder / "notes.txt").touch()
    with pytest.raises(UserError, match="is in use for something else: give another --name"):
        sweep.main(flags)
    with pytest.raises(UserError, match=r"has no sweep\.yaml: name the folder of a sweep"):
        sweep.main(["--resume", "sweeps/tiny"])
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]
