"""train.py --snapshots: what it leaves in the run's folder, and that it leaves all else alone."""

import errno
import itertools
import shutil

import pytest
import torch

import train
from tests.command_line.test_pairs import TINY_PAIRS, shouted
from tests.kills import KillAfter, Killed
from transformer.run.comparison import differences
from transformer.run.verification import InterruptAfter
from transformer.storage.int8_rows import SCALES, dequantized, quantized
from transformer.storage.metadata import distinct_tensors, model_tensors
from transformer.storage.model_file import load_model
from transformer.storage.run_folder import LAST
from transformer.storage.snapshots import (
    FOLDER,
    list_snapshots,
    read,
    snapshot_path,
    snapshot_steps,
)
from transformer.storage.training_state import read_training_state
from transformer.system.errors import UserError
from transformer.training.callbacks.snapshots import Snapshots


def files_of(folder):
    return {path.name: path.read_bytes() for path in (folder / FOLDER).iterdir()}


def last_weights(folder):
    return distinct_tensors(model_tensors(read_training_state(folder / LAST)["state_dict"]))


def is_close(snapshot, weights):
    """Whether no weight is further away than rounding to int8 may put it."""
    stored = read(snapshot, quantized(weights))
    back = dequantized(stored)
    for name, tensor in weights.items():
        wrong = (back[name] - tensor).abs().reshape(len(tensor), -1).amax(1)
        scales = stored.get(name + SCALES, torch.zeros(1))
        if not (wrong <= scales * (0.5 + 1e-4)).all():
            return False
    return True


def test_a_run_leaves_its_untrained_its_last_and_evenly_spaced_moments_between(
    call, tmp_path, capsys
):
    call(train, "--config", "tiny.yaml", "--snapshots", 5, "--max_steps", 40)
    folder = tmp_path / "runs/tiny/version_0"
    found = list_snapshots(folder)
    assert len(found) == 5 == len(files_of(folder))
    assert (found[0].step, found[-1].step) == (0, 40)
    losses = [snapshot.loss for snapshot in found]
    gaps = [a - b for a, b in itertools.pairwise(losses)]
    assert max(map(abs, gaps)) <= 0.6 * (losses[0] - losses[-1])  # even ones are 0.25 each
    assert is_close(found[-1], last_weights(folder))
    assert not is_close(found[0], last_weights(folder))
    model = load_model(folder / "model.safetensors").model
    for snapshot in found:
        stored = read(snapshot, quantized(distinct_tensors(model.state_dict())))
        assert snapshot.path.stat().st_size < sum(t.nbytes for t in stored.values()) + 4000


def test_nothing_is_written_without_the_key_and_training_is_the_same_with_it(train_here):
    without = train_here(run_name="without", dropout=0.1, max_steps=20)
    assert not (without / FOLDER).exists()
    assert "Snapshots" not in read_training_state(without / LAST)["callbacks"]
    kept = train_here(run_name="with", dropout=0.1, max_steps=20, snapshots=3)
    assert len(files_of(kept)) == 3
    assert differences(without, kept) == ["snapshots"]


# Checkpoints are saved at validations (30 and 60) and at stops; snapshots at steps 0 to 4, 6, 8,
# 11, 16, 24, 37 and 59 with 5 of them, from 11 on in the place of others.
@pytest.mark.parametrize(
    "changes",
    [
        {},
        pytest.param({"accumulate_grad_batches": 3, "batch_size": 2}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_a_run_that_stopped_and_was_killed_ends_with_the_same_snapshots(
    train_here, tmp_path, changes
):
    changes = {"dropout": 0.1, "snapshots": 3, **changes}
    whole = train_here(run_name="whole", **changes)
    folder = tmp_path / "runs" / "stopped" / "version_0"
    given = {"run_name": "stopped", **changes}
    for end in (
        *map(InterruptAfter, (2, 9, 10)),
        *map(KillAfter, (30, 60, 61)),
        InterruptAfter(64),
    ):
        with pytest.raises((SystemExit, Killed)):
            train_here(callbacks=[end], **given)
        given = {"config": str(folder / "config.yaml"), "resume": folder / LAST}
    train_here(**given)
    assert differences(whole, folder) == []
    assert len(files_of(folder)) == 3


@pytest.mark.slow
def test_snapshots_that_were_dropped_after_the_checkpoint_are_not_missed(train_here, tmp_path):
    """With 2, steps 0, 1, 2 and 5 are kept at step 5, and 0, 2, 14 and 58 at step 58."""
    changes = {"snapshots": 2, "val_every_steps": 70}
    whole = train_here(run_name="whole", **changes)
    folder = tmp_path / "runs" / "killed" / "version_0"
    with pytest.raises(SystemExit):
        train_here(run_name="killed", callbacks=[InterruptAfter(5)], **changes)
    again = {"config": str(folder / "config.yaml"), "resume": folder / LAST}
    with pytest.raises(Killed):
        train_here(callbacks=[KillAfter(60)], **again)
    assert snapshot_steps(folder) == [0, 2, 14, 58]
    with pytest.raises(SystemExit):
        train_here(callbacks=[InterruptAfter(65)], **again)
    assert snapshot_steps(folder) == [0, 2, 14, 58]
    train_here(**again)
    assert differences(whole, folder) == []


@pytest.mark.slow
def test_a_run_that_was_killed_before_its_end_still_keeps_its_last_moment(
    train_here, tmp_path, monkeypatch
):
    whole = train_here(run_name="whole", snapshots=4)
    folder = tmp_path / "runs" / "killed" / "version_0"
    for place in ("on_train_end", "_thin"):
        with monkeypatch.context() as patch:
            patch.setattr(Snapshots, place, killed)
            with pytest.raises(Killed):
                train_here(run_name="killed", snapshots=4)
        assert len(files_of(folder)) > 4
        train_here(str(folder / "config.yaml"), resume=folder / LAST)
        assert files_of(folder) == files_of(whole)
        shutil.rmtree(folder.parent)


def killed(*_):
    raise Killed


@pytest.mark.slow
def test_a_longer_run_goes_on_from_the_moments_that_were_chosen(train_here):
    folder = train_here(snapshots=3, max_steps=20)
    before = files_of(folder)
    train_here(str(folder / "config.yaml"), resume=folder / LAST, max_steps=40)
    found = list_snapshots(folder)
    assert [found[0].step, found[-1].step] == [0, 40]
    assert len(found) == 3
    assert files_of(folder)["step-000000.safetensors"] == before["step-000000.safetensors"]
    train_here(str(folder / "config.yaml"), resume=folder / LAST, max_steps=45, snapshots=0)
    assert list_snapshots(folder) == found  # it keeps what it has
    train_here(str(folder / "config.yaml"), resume=folder / LAST, max_steps=50, snapshots=3)
    assert [each.step for each in list_snapshots(folder)][::2] == [0, 50]


@pytest.mark.slow
def test_a_folder_that_cannot_be_written_costs_the_snapshots_alone(
    train_here, tmp_path, caplog, monkeypatch
):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    whole = train_here(run_name="whole", max_steps=20)
    with monkeypatch.context() as patch:
        patch.setattr("transformer.storage.snapshots.write_tensors", full)
        folder = train_here(run_name="full", max_steps=20, snapshots=3)
    assert list_snapshots(folder) == []
    assert list((folder / FOLDER).iterdir()) == []
    assert "could not be saved (No space left on device)" in caplog.text
    assert differences(whole, folder) == []


@pytest.mark.slow
def test_a_snapshot_that_someone_deleted_or_spoiled_ends_no_run(train_here, tmp_path):
    folder = tmp_path / "runs" / "gpt" / "version_0"
    with pytest.raises(SystemExit):
        train_here(snapshots=3, callbacks=[InterruptAfter(31)])
    steps = [snapshot.step for snapshot in list_snapshots(folder)]
    snapshot_path(folder, steps[1]).unlink()
    snapshot_path(folder, steps[2]).write_bytes(b"no")
    train_here(str(folder / "config.yaml"), resume=folder / LAST)
    assert 2 <= len(files_of(folder)) <= 3


@pytest.mark.parametrize(
    ("number", "message"),
    [
        ("1", "snapshots: 1 has no first and last; give 0, or 2 or more"),
        ("-1", "snapshots must be at least 0, got '-1'"),
        ("1001", "snapshots must be at most 1000, got '1001'"),
        ("many", "snapshots must be a whole number, got 'many'"),
    ],
)
def test_a_number_that_makes_no_sense_is_refused(call, number, message):
    with pytest.raises(UserError, match=message):
        call(train, "--config", "tiny.yaml", "--snapshots", number)


@pytest.mark.slow
def test_snapshots_of_an_adapter_are_of_the_merged_model(call, finished, tmp_path):
    (tmp_path / "old.txt").write_text("To be, or not to be.\n" * 50, encoding="utf-8")
    base = finished.folder / "model.safetensors"
    given = ("--start_from", base, "--data_path", "old.txt", "--max_steps", 6)
    adapter = ("--lora_rank", 2, "--val_every_steps", 3, "--snapshots", 3)
    call(train, *given, *adapter)
    (folder,) = (tmp_path / "runs").glob("*/version_*")
    found = list_snapshots(folder)
    assert [found[0].step, found[-1].step] == [0, 6]
    assert is_close(found[0], distinct_tensors(load_model(base).model.state_dict()))
    last = distinct_tensors(load_model(folder / LAST).model.state_dict())
    assert is_close(found[-1], last)
    assert not is_close(found[0], last)


def test_snapshots_of_an_encoder_decoder_are_refused_since_no_page_shows_them(call, tmp_path):
    (tmp_path / "shout.yaml").write_text(TINY_PAIRS, encoding="utf-8")
    with pytest.raises(UserError, match=r"^--snapshots: .* model encoder_decoder .*leave out snap"):
        call(train, "--config", "shout.yaml", "--snapshots", 3)


@pytest.mark.slow
def test_an_encoder_decoder_has_snapshots_too(train_here, tmp_path):
    words = map("".join, itertools.permutations("abcde", 4))
    lines = [f"{word}\t{shouted(word)}\n" for word in words]
    (tmp_path / "shout.tsv").write_text("".join(lines), encoding="utf-8")
    (tmp_path / "shout.yaml").write_text(TINY_PAIRS, encoding="utf-8")
    folder = train_here("shout.yaml", max_steps=20, snapshots=3)
    found = list_snapshots(folder)
    assert [found[0].step, found[-1].step] == [0, 20]
    assert len(found) == 3
    assert is_close(found[-1], last_weights(folder))


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_processes_write_the_snapshots_of_one(run, write_inputs, tmp_path, strategy):
    write_inputs(tmp_path)
    keys = f"--optimizer adamw --devices 2 --strategy {strategy} --max_steps 9 --snapshots 3"
    result = run("train.py", "--config", "tiny.yaml", *keys.split(), cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    folder = tmp_path / "runs" / "tiny" / "version_0"
    found = list_snapshots(folder)
    assert [found[0].step, found[-1].step] == [0, 9]
    assert len(found) == 3 == len(files_of(folder))
    assert is_close(found[-1], last_weights(folder))
