"""Several processes make one run, and a run that diverges says so."""

import json
import re

import pytest


@pytest.mark.slow
def test_two_processes_make_one_run_with_one_voice(run, write_inputs, tmp_path):
    write_inputs(tmp_path)
    flags = "--config tiny.yaml --devices 2 --strategy ddp --max_steps 6 --val_every_steps 3"
    result = run("train.py", *flags.split(), cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    (summary,) = tmp_path.glob("runs/*/*/summary.json")
    facts = json.loads(summary.read_text(encoding="utf-8"))
    characters = len((tmp_path / "hamlet.txt").read_text(encoding="utf-8"))
    assert facts["step"] == 6
    assert facts["corpus_passes"] == pytest.approx(6 * 2 * 7 * 16 / int(characters * 0.9))
    assert len(re.findall("all parameters", result.stdout)) == 1
    assert len(re.findall("step 6:", result.stdout)) == 1
    assert [path.name for path in tmp_path.glob("runs/*/*")] == ["version_0"]


def test_a_run_that_diverges_ends_with_advice(run, write_inputs, tmp_path):
    write_inputs(tmp_path)
    flags = "--config tiny.yaml --lr 1e30 --warmup_steps 0 --grad_clip 0 --val_every_steps 5"
    result = run("train.py", *flags.split(), cwd=tmp_path)
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1
    assert re.search(r"val_loss is nan after step \d+: .* smaller --lr", result.stderr)
