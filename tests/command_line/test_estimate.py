"""`train.py --estimate` says what a run would take, and runs nothing."""

import re
import time

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
    assert memory["total"] == pytest.approx(sum(memory[part] for part in parts), abs=0.003)
    assert memory["the process, on a CPU"] > memory["total"]
    assert "TFLOP per step; a corpus pass of" in result.stdout
    assert re.search(
        r"measured here \(.+\), over 30 steps: .* per step, .* per corpus pass", result.stdout
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hamlet.txt", "tiny.yaml"]
    assert result.stderr == ""


@pytest.mark.slow
def test_devices_that_are_not_there_share_weights(write_inputs, tmp_path, monkeypatch, capsys):
    def estimate(*arguments):
        assert train.main([*LARGE, "--optimizer=adamw", *arguments]) == 0
        return capsys.readouterr().out

    write_inputs(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("transformer.run.timing.time_here", lambda *_: "")  # other tests look at it
    alone, shared = estimate(), estimate("--devices=8", "--strategy=fsdp")
    assert shared.startswith("8 devices, strategy fsdp; 56 examples per step\n")
    assert memory_of(shared)["optimizer"] == pytest.approx(
        memory_of(alone)["optimizer"] / 8, abs=0.001
    )
    assert "not measured: the run has 8 devices" in shared


@pytest.fixture
def tell_time(write_inputs, tmp_path, monkeypatch, capsys):
    """What --estimate says of time, and how long each part is made to take."""
    from transformer.run import timing

    def tell(*arguments):
        assert train.main(["--config=tiny.yaml", "--estimate", *arguments]) == 0
        return capsys.readouterr().out.splitlines()[-1]

    times = timing.Times(step=2.0, validated_token=0.01, shown=3.0, num_steps=5, device="cpu")
    monkeypatch.setattr(timing, "measure", lambda run, hardware: times)
    tell_here = timing.time_here
    monkeypatch.setattr(timing, "time_here", lambda config, data, _: tell_here(config, data, 8.0))
    write_inputs(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tell


@pytest.mark.slow
def test_the_whole_run_is_steps_and_validations_and_its_end(tell_time):
    """70 x 2 s, 3 validations of 1.17 + 3 s (117 tokens), 2 x 1.17 + 3 + 8 + 2 s at both ends."""
    assert tell_time() == (
        "this run takes about 2.8 minutes here: 70 steps, 3 validations of 4.17 s, "
        "plus start and end"
    )
    assert "20 steps, 1 validation of" in tell_time("--max_steps=20")


@pytest.mark.slow
def test_a_time_limit_is_how_long_a_run_takes(tell_time):
    words = r"ends at max_minutes \(10.0 minutes\), after about (\d+) steps"
    steps = int(re.search(words, tell_time("--max_minutes=10", "--val_every_steps=auto"))[1])
    assert steps == pytest.approx(0.9 * (600 - 15) / 2, abs=3)
    steps = int(re.search(words, tell_time("--max_minutes=10"))[1])  # 4.17 s every 30 steps
    assert steps == pytest.approx((600 - 15) / (2 + 4.17 / 30), abs=3)
    assert "this run takes about 2.8 minutes" in tell_time("--max_minutes=10", "--max_steps=70")


def test_a_model_that_does_not_fit_is_not_tried(write_inputs, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("transformer.run.timing.free_memory", lambda device_type: 1e6)
    write_inputs(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert train.main(["--config=tiny.yaml", "--estimate"]) == 0
    assert (
        "not measured: the run needs 0.6 GB, and only 0.001 GB are free" in capsys.readouterr().out
    )


def test_the_start_of_a_run_is_as_long_as_this_one_was(write_inputs, tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(
        "transformer.run.timing.time_here", lambda *arguments: told.append(arguments[-1]) or ""
    )
    read = train.read_data
    monkeypatch.setattr(train, "read_data", lambda *given: time.sleep(0.5) or read(*given))
    write_inputs(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert train.main(["--config=tiny.yaml", "--estimate"]) == 0
    assert told[0] >= 0.5
