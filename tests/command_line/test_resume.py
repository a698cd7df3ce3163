"""A run that stopped goes on in its folder."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.marks import last_long
from transformer.run.comparison import curves
from transformer.system.errors import UserError

ROOT = Path(__file__).parents[2]


def test_a_finished_run_goes_on_to_a_larger_max_steps(train_here, summary_of):
    folder = train_here(max_steps=30, val_every_steps=20, lr=1e-3)
    last = folder / "checkpoints" / "last.ckpt"
    before = summary_of(folder)
    after_folder = train_here(
        str(folder / "config.yaml"), resume=last, max_steps=50, val_every_steps=20
    )
    after = summary_of(folder)
    assert after_folder == folder
    assert (before["step"], after["step"]) == (30, 50)
    assert after["corpus_passes"] == pytest.approx(before["corpus_passes"] * 50 / 30)
    assert after["elapsed_seconds"] > before["elapsed_seconds"]
    assert after["val_loss"] < before["val_loss"]
    content = torch.load(last, weights_only=True)
    assert content["global_step"] == 50
    assert content["CharacterDataModule"]["examples_consumed"] == 50 * 7
    assert [step for step, _ in curves(folder)["train_loss"]] == [10, 20, 30, 40, 50]
    assert "max_steps: 50" in (folder / "config.yaml").read_text()


def test_a_run_that_its_limits_ended_goes_on_with_larger_ones_alone(train_here, summary_of):
    """With such an lr no validation is better than the first, so patience ends the run."""
    limits = {"max_steps": 60, "val_every_steps": 10, "lr": 1e-30, "patience": 1}
    folder = train_here(**limits)
    ended_at = summary_of(folder)["step"]
    assert ended_at < 60
    config, last = str(folder / "config.yaml"), folder / "checkpoints" / "last.ckpt"
    with pytest.raises(UserError, match=f"stands at step {ended_at} of 60, nothing .* `patience`"):
        train_here(config, resume=last, **limits)
    train_here(config, resume=last, **limits | {"patience": 2})
    assert summary_of(folder)["step"] > ended_at


def test_settings_given_anew_take_effect_on_resume(train_here):
    folder = train_here(max_steps=10, schedule="constant", warmup_steps=0, lr=1e-2)
    train_here(
        str(folder / "config.yaml"),
        resume=folder / "checkpoints" / "last.ckpt",
        max_steps=20,
        lr=3e-3,
        weight_decay=0.5,
    )
    assert [value for _, value in curves(folder)["lr"]] == pytest.approx([1e-2, 3e-3])
    content = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    groups = content["optimizer_states"][0]["param_groups"]
    assert [group["weight_decay"] for group in groups] == [0.5, 0.0]
    assert [group["lr"] for group in groups] == [3e-3, 3e-3]


def test_another_batch_and_other_workers_go_on_in_the_same_order(train_here, caplog):
    folder = train_here(max_steps=10, val_every_steps=5)
    last = folder / "checkpoints" / "last.ckpt"
    with caplog.at_level("INFO"):
        train_here(str(folder / "config.yaml"), resume=last, max_steps=14, batch_size=5)
    assert "changed on resuming: batch_size 7 -> 5, max_steps 10 -> 14" in caplog.messages
    content = torch.load(last, weights_only=True)
    assert content["CharacterDataModule"]["examples_consumed"] == 10 * 7 + 4 * 5


def test_a_resume_that_cannot_be_leaves_the_run_as_it_is(train_here, tmp_path):
    from transformer.system.errors import UserError

    folder = train_here(max_steps=2)
    last = folder / "checkpoints" / "last.ckpt"
    (tmp_path / "other.txt").write_text("The quick brown fox.\n" * 20)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for changes, words in (
        ({"embedding_dim": 30, "max_steps": 4}, "embedding_dim=22, not 30"),
        ({"data_path": "other.txt", "max_steps": 4}, "sha256"),
        ({"val_fraction": 0.2, "max_steps": 4}, "val_fraction=0.1, not 0.2"),
        ({"stride": 3, "max_steps": 4}, "stride=1, not 3"),
        ({}, "step 2 of 2"),
        ({"max_steps": 1}, "step 2 of 1"),
    ):
        with pytest.raises(UserError, match=words):
            train_here(str(folder / "config.yaml"), resume=last, **changes)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.slow(seconds=25)
@pytest.mark.skipif(sys.platform == "win32", reason="a signal there cannot be sent to one process")
@pytest.mark.parametrize("name", last_long(["SIGTERM", "SIGINT", "SIGUSR1"], 2))
def test_an_interrupted_run_is_saved_and_goes_on(run, environment, tmp_path, write_inputs, name):
    number = getattr(signal, name)
    write_inputs(tmp_path)
    flags = "--config tiny.yaml --max_steps 1000000 --epochs 100000 --val_every_steps 50".split()
    process = subprocess.Popen(  # with its loader processes one group, as in a terminal
        [sys.executable, ROOT / "train.py", *flags, "--num_workers", "2"],
        start_new_session=True,
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        for line in process.stdout:
            if line.startswith("step 50:"):
                os.killpg(process.pid, number)
                break
        output, errors = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 128 + number
    assert errors == ""
    step = int(re.search(r"stopped after step ([\d,]+)", output)[1].replace(",", ""))
    assert step >= 50
    folder = tmp_path / "runs" / "tiny" / "version_0"
    last = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["global_step"] == step

    command = re.search(r"python train\.py (--resume \S+)", output)[1].split()
    result = run("train.py", *command, "--max_steps", step + 3, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["step"] == step + 3
    assert [path.name for path in folder.parent.iterdir()] == ["version_0"]
