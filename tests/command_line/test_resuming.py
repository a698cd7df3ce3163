"""From which checkpoint a run goes on, and what is said of it."""

import pytest
import torch

from transformer.run.comparison import differences
from transformer.run.resuming import newest_whole, report_changes
from transformer.run.verification import InterruptAfter
from transformer.storage.run_folder import LAST, PREVIOUS
from transformer.system.errors import UserError


def flip_a_bit(path):
    """In a matrix of the model."""
    data = bytearray(path.read_bytes())
    weight = torch.load(path, weights_only=True)["state_dict"]["model.lm_head.weight"]
    data[data.index(weight.numpy().tobytes())] ^= 1
    path.write_bytes(data)


@pytest.fixture
def run_folder(train_here):
    return train_here(max_steps=20, val_every_steps=10)


def test_of_a_damaged_checkpoint_the_one_before_is_taken_and_that_is_said(run_folder, capsys):
    paths = [run_folder / LAST, run_folder / PREVIOUS]
    assert newest_whole(paths) == paths[0]
    assert capsys.readouterr().err == ""
    flip_a_bit(paths[0])
    assert newest_whole(paths) == paths[1]
    assert "last.ckpt: damaged" in (said := capsys.readouterr().err)
    assert f"going on from the one before it, {paths[1]}" in said
    flip_a_bit(paths[1])
    with pytest.raises(UserError, match=r"last\.ckpt: damaged"):
        newest_whole(paths)


def test_the_run_then_ends_as_if_nothing_had_been(train_here, tmp_path):
    changes = {"dropout": 0.1, "val_every_steps": 10, "max_steps": 30}
    whole = train_here(run_name="whole", **changes)
    with pytest.raises(SystemExit):
        train_here(run_name="stopped", **changes, callbacks=[InterruptAfter(20)])
    folder = tmp_path / "runs" / "stopped" / "version_0"
    flip_a_bit(folder / LAST)
    resume = newest_whole([folder / LAST, folder / PREVIOUS])
    assert torch.load(resume, weights_only=True)["global_step"] == 10
    train_here(str(folder / "config.yaml"), resume=resume)
    assert differences(whole, folder) == []


def test_what_is_changed_by_resuming_is_reported(caplog):
    before = {"lr": 1e-3, "max_steps": 30, "seed": 0}
    with caplog.at_level("INFO"):
        report_changes(before, before)
        report_changes(before, before | {"lr": 3e-4, "max_steps": 50})
    assert [record.message for record in caplog.records] == [
        "changed on resuming: lr 0.001 -> 0.0003, max_steps 30 -> 50"
    ]
