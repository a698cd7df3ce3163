"""train.py --repeat: a run is trained again, and is the same, or is told how it differs."""

import json
import shutil

import pytest
import torch

import train
from tests.kills import KillAfter, Killed
from tests.marks import first_fast
from transformer.config.run_files import load_run_config
from transformer.run.comparison import differences
from transformer.run.repeating import notes
from transformer.run.verification import InterruptAfter
from transformer.storage.repeat_record import RECORD, read_parts
from transformer.storage.run_folder import CONFIG, LAST, SUMMARY
from transformer.storage.run_lock import RunLock
from transformer.storage.snapshots import snapshot_steps
from transformer.system.errors import UserError

SAME = "the same, bit for bit: "


def again(folder, **changes):
    return {"config": str(folder / CONFIG), "resume": folder / LAST, **changes}


def last_step(folder):
    return torch.load(folder / LAST, weights_only=True)["global_step"]


def copy_of(folder):
    return folder.parent / f"version_{int(folder.name[8:]) + 1}"


def test_a_run_is_repeated_with_the_same_bytes_and_says_with_what_it_was_trained(
    call, repeat, tmp_path
):
    call(train, "--config", "tiny.yaml", "--max_steps", 20, "--dropout", 0.1)
    run = tmp_path / "runs/tiny/version_0"
    (part,) = json.loads((run / RECORD).read_text(encoding="utf-8"))["parts"]
    assert part["command"] == "train.py --config tiny.yaml --max_steps 20 --dropout 0.1".split()
    assert part["versions"]["torch"] == torch.__version__
    assert part["num_threads"] == torch.get_num_threads()
    assert str(tmp_path) not in (run / RECORD).read_text(encoding="utf-8")
    status, said = repeat(run, "--run_name", "again")
    assert status == 0
    assert f"{SAME}{run} and runs/again/version_0" in said
    assert differences(run, tmp_path / "runs/again/version_0") == []
    assert (tmp_path / "runs/again/version_0" / SUMMARY).exists()


@pytest.mark.parametrize("stop", first_fast([13, 1, 10, 30, 69]))
def test_a_run_that_was_stopped_is_repeated_to_where_it_stopped(train_here, repeat, tmp_path, stop):
    with pytest.raises(SystemExit):
        train_here(callbacks=[InterruptAfter(stop)], dropout=0.1, snapshots=3)
    status, said = repeat(tmp_path / "runs/gpt/version_0")
    assert f"it was stopped before its end: repeated up to step {stop}, its last" in said
    assert status == 0, said


def test_a_run_that_was_killed_is_repeated_to_its_last_checkpoint(train_here, repeat, tmp_path):
    with pytest.raises(Killed):
        train_here(callbacks=[KillAfter(50)], dropout=0.1, snapshots=3)
    run = tmp_path / "runs/gpt/version_0"
    assert snapshot_steps(run)[-1] > 30
    status, said = repeat(run)
    assert "repeated up to step 30, its last" in said
    assert status == 0, said


def test_settings_that_were_changed_on_the_way_are_changed_again(train_here, repeat):
    run = train_here(max_steps=10, dropout=0.1)
    train_here(**again(run, max_steps=20, lr=3e-3, batch_size=5))
    train_here(**again(run, max_steps=30))
    parts = json.loads((run / RECORD).read_text(encoding="utf-8"))["parts"]
    assert [part["from_step"] for part in parts] == [0, 10, 20]
    assert parts[2]["changed"] == {"max_steps": [20, 30]}
    status, said = repeat(run)
    assert "from step 10 on it had other settings: batch_size 7 -> 5, lr 0.01 -> 0.003" in said
    assert status == 0, said
    assert len(json.loads((copy_of(run) / RECORD).read_text(encoding="utf-8"))["parts"]) == 3


def test_resuming_with_nothing_new_adds_no_part(train_here, tmp_path):
    with pytest.raises(SystemExit):
        train_here(callbacks=[InterruptAfter(5)], max_steps=10)
    run = tmp_path / "runs/gpt/version_0"
    before = (run / RECORD).read_bytes()
    train_here(**again(run))
    assert (run / RECORD).read_bytes() == before


def test_one_weight_that_was_tampered_with_is_reported_with_its_size(train_here, repeat):
    run = train_here(max_steps=10)
    state = torch.load(run / LAST, weights_only=True)
    next(iter(state["state_dict"].values())).flatten()[3] += 0.125
    torch.save(state, run / LAST)
    status, said = repeat(run)
    assert status == 1
    assert f"{run} and runs/gpt/version_1 differ in weights; the largest difference: " in said
    assert "weights 0.125, val_loss 0\n" in said


def test_what_differs_here_is_said_before(train_here):
    run = train_here(max_steps=2)
    content = json.loads((run / RECORD).read_text(encoding="utf-8"))
    content["parts"][0] |= {"commit": "0123456789ab", "processor": "Abacus", "num_threads": 1000}
    content["parts"][0]["versions"]["torch"] = "0.4"
    content["parts"][0]["added_later"] = 1
    (run / RECORD).write_text(json.dumps(content), encoding="utf-8")
    config = load_run_config(run / CONFIG)
    said = "\n".join(notes(run, config, read_parts(run), 2, ended=True))
    assert "commit: 0123456789ab there, " in said
    assert f"torch: 0.4 there, {torch.__version__} here" in said
    assert "processor: Abacus there, " in said
    assert "threads: 1000 there, " in said
    assert "python: " not in said


def test_a_run_of_an_older_version_is_repeated_as_far_as_it_is_known(train_here, repeat):
    run = train_here(max_steps=10)
    (run / RECORD).unlink()
    status, said = repeat(run)
    assert status == 0
    assert "it has no repeat.json, as a run of an older version: with which commit" in said

    timed = train_here(max_minutes=0.02, val_every_steps="auto", run_name="timed")
    state = torch.load(timed / LAST, weights_only=True)
    del state["callbacks"]["RecordPace"]
    torch.save(state, timed / LAST)
    status, said = repeat(timed)
    assert "its clock is not recorded" in said
    assert status == 1
    assert "differ in" in said
    assert last_step(timed) == last_step(copy_of(timed))


def test_other_data_is_refused_before_anything_is_made(train_here, repeat, tmp_path):
    run = train_here(max_steps=2)
    before = (tmp_path / "hamlet.txt").read_text(encoding="utf-8")
    (tmp_path / "hamlet.txt").write_text(before + "More.\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"not the data it was trained on: .* sha256 .*--data_path"):
        repeat(run)
    assert not copy_of(run).exists()
    (tmp_path / "moved.txt").write_text(before, encoding="utf-8")
    assert repeat(run, "--data_path", "moved.txt")[0] == 0


@pytest.mark.slow
@pytest.mark.parametrize("lora", [{}, {"lora_rank": 2}], ids=str)
def test_a_run_that_starts_from_a_model_needs_that_model(call, repeat, train_here, tmp_path, lora):
    base = train_here(max_steps=10, run_name="base")
    flags = [part for key, value in lora.items() for part in (f"--{key}", value)]
    limits = ("--max_steps", 8, "--data_path", "hamlet.txt", "--run_name", "on", *flags)
    call(train, "--start_from", "runs/base/version_0", *limits)
    run = tmp_path / "runs/on/version_0"
    status, said = repeat(run)
    assert status == 0, said
    other = train_here(max_steps=20, run_name="other")
    with pytest.raises(UserError, match="has other weights than the model it started from"):
        repeat(run, "--start_from", other)
    base.rename(tmp_path / "gone")
    with pytest.raises(UserError, match="runs/base/version_0"):
        repeat(run)
    assert repeat(run, "--start_from", tmp_path / "gone")[0] == 0


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--lr 1", "--lr does not go with --repeat, which trains a run again as it was"),
        ("--resume --plan --seed 1", "--resume, --plan, --seed does not go with --repeat"),
        ("--config tiny.yaml", "--config does not go with --repeat"),
    ],
)
def test_flags_that_would_make_another_run_are_refused_by_name(short_runs, flags, words):
    with pytest.raises(UserError, match=words):
        train.parse_arguments(["--repeat", "runs/tiny", *flags.split()])


def test_what_cannot_be_repeated_says_what_to_do(train_here, tmp_path):
    def refused(run):
        with pytest.raises(UserError) as error:
            train.main(["--repeat", str(run)])
        return str(error.value)

    assert "no such folder: name a run" in refused("runs/nothing")
    (tmp_path / "empty").mkdir()
    assert "not the folder of a run, it has no config.yaml" in refused("empty")
    run = train_here(max_steps=2)
    other = shutil.copytree(run, tmp_path / "other")
    (other / LAST).unlink()
    assert "ended before its first checkpoint: start it again with --config" in refused(other)
    (run / RECORD).write_text('{"parts": [{"from_step": "x"}]}', encoding="utf-8")
    assert "repeat.json: damaged: from_step is 'x'; delete it to repeat" in refused(run)
    with RunLock() as lock:
        lock.take(run)
        assert "is still training it: wait for its end, or stop it" in refused(run)
    assert not copy_of(run).exists()


@pytest.mark.slow
@pytest.mark.parametrize("limit", [("--max_steps", 20), ("--max_minutes", 0.1)])
def test_a_user_repeats_a_run_in_processes_of_their_own(run, tmp_path, write_inputs, limit):
    write_inputs(tmp_path)
    flags = ("--dropout", 0.1, "--val_every_steps", "auto", "--snapshots", 3, *limit)
    done = run("train.py", "--config", "tiny.yaml", *flags, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = run("train.py", "--repeat", "runs/tiny", cwd=tmp_path, python=("-W", "error"))
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{SAME}runs/tiny/version_0 and runs/tiny/version_1" in done.stdout
    done = run("train.py", "--repeat", "runs/tiny/version_1", "--lr", 1, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: --lr does not go with --repeat")
