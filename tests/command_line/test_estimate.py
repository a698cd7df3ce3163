"""`train.py --estimate` says what a run would take, and runs nothing."""

import re

import pytest

import train

# So large that a GB's third decimal says something.
LARGE = ("--config=tiny.yaml", "--estimate", "--embedding_dim=512", "--num_heads=4")


def memory_of(output):
    """GB by part, of the table's lines."""
    return {name: float(size) for name, size in re.findall(r"^(\S.*?)  +([\d.]+)$", output, re.M)}


@pytest.mark.slow  # of a process that imports torch
def test_parts_sum_up_and_nothing_is_written(run, write_inputs, tmp_path):
    write_inputs(tmp_path)
    result = run("train.py", *LARGE, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    memory = memory_of(result.stdout)
    parts = ("weights", "gradients", "optimizer", "activations", "temporary")
    assert memory["in all"] == pytest.approx(sum(memory[part] for part in parts), abs=0.003)
    assert memory["the process, where that is a CPU's"] > memory["in all"]
    assert "TFLOP a step; a corpus pass of" in result.stdout
    assert not (tmp_path / "runs").exists()


def test_devices_that_are_not_there_share_weights(write_inputs, tmp_path, monkeypatch, capsys):
    def estimate(*arguments):
        assert train.main([*LARGE, "--optimizer=adamw", *arguments]) == 0
        return capsys.readouterr().out

    write_inputs(tmp_path)
    monkeypatch.chdir(tmp_path)
    alone, shared = estimate(), estimate("--devices=8", "--strategy=fsdp")
    assert shared.startswith("8 devices, strategy fsdp; 56 examples a step\n")
    assert memory_of(shared)["optimizer"] == pytest.approx(
        memory_of(alone)["optimizer"] / 8, abs=0.001
    )
