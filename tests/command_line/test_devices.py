"""Several processes make one run, and a run that diverges says so."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from transformer.storage.run_folder import LAST
from transformer.storage.training_state import read_training_state

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_two_processes_make_one_run_with_one_voice(run, write_inputs, tmp_path):
    write_inputs(tmp_path)
    flags = "--config tiny.yaml --devices 2 --strategy ddp --max_steps 6 --val_every_steps 3"
    result = run("train.py", *flags.split(), cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    (summary,) = tmp_path.glob("runs/*/*/summary.json")
    facts = json.loads(summary.read_text(encoding="utf-8"))
    characters = len((tmp_path / "hamlet.txt").read_text(encoding="utf-8"))
    assert (facts["step"], facts["num_devices"]) == (6, 2)
    assert facts["corpus_passes"] == pytest.approx(6 * 2 * 7 * 16 / int(characters * 0.9))
    assert len(re.findall("all parameters", result.stdout)) == 1
    assert len(re.findall("step 6:", result.stdout)) == 1
    assert [path.name for path in tmp_path.glob("runs/*/*")] == ["version_0"]


@pytest.mark.slow
def test_recomputed_blocks_and_gathered_batches_on_two_devices_make_the_run_of_one(
    run, write_inputs, tmp_path
):
    write_inputs(tmp_path)
    shared = "--batch_size 2 --accumulate_grad_batches 2 --devices 2 --activation_checkpointing"
    sides = {
        "one": "--batch_size 8",
        "ddp": f"{shared} --strategy ddp",
        "fsdp": f"{shared} --strategy fsdp",
    }
    losses = []
    for name, keys in sides.items():
        flags = f"--config tiny.yaml --optimizer adamw --max_steps 9 --run_name {name} {keys}"
        result = run("train.py", *flags.split(), cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        summary = tmp_path / "runs" / name / "version_0" / "summary.json"
        losses.append(json.loads(summary.read_text(encoding="utf-8"))["val_loss"])
    assert losses[1:] == pytest.approx(losses[:1] * 2, rel=1e-5)  # float32


@pytest.mark.slow
def test_a_signal_to_one_of_two_processes_saves_and_ends_both(write_inputs, environment, tmp_path):
    write_inputs(tmp_path)
    flags = "--config tiny.yaml --devices 2 --strategy ddp --epochs 100000 --max_steps 1000000"
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *flags.split()],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    last = tmp_path / "runs" / "tiny" / "version_0" / LAST
    deadline = time.monotonic() + 120
    while not last.is_file() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    step = read_training_state(last)["global_step"]
    assert f"stopped after step {step}; everything is saved; to go on:" in output
    assert not errors


@pytest.mark.slow  # of a process that imports torch
def test_a_run_that_diverges_ends_with_advice(run, write_inputs, tmp_path):
    write_inputs(tmp_path)
    flags = "--config tiny.yaml --lr 1e30 --warmup_steps 0 --grad_clip 0 --val_every_steps 5"
    result = run("train.py", *flags.split(), cwd=tmp_path)
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1
    assert re.search(r"val_loss is nan after step \d+: .* smaller --lr", result.stderr)
