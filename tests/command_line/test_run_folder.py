"""A run's folder: named by what, locked while it trains, moved before, while or after it."""

import os
import shutil
from pathlib import Path

import pytest
import torch

import train
from tests.marks import first_fast
from transformer.run.comparison import curves
from transformer.run.verification import InterruptAfter
from transformer.storage.repeat_record import RECORD
from transformer.storage.run_folder import BEST, CONFIG, LAST, PREVIOUS, SUMMARY, WEIGHTS
from transformer.storage.run_lock import LOCK, RunLock, holder_of
from transformer.system.errors import UserError
from transformer.system.files import write_text
from transformer.training.callbacks.after_batch import AfterBatch


class After(AfterBatch):
    """Calls something after a step."""

    def __init__(self, step, call):
        self.step, self.call = step, call

    def after_batch(self, trainer, batch):
        if trainer.global_step == self.step:
            self.call()


def files_in(folder: Path) -> list[str]:
    """What a run's folder holds, its curves under one name."""
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return sorted({"events" if name.startswith("events.") else name for name in names})


WHOLE = [path.as_posix() for path in (BEST, LAST, PREVIOUS, CONFIG, RECORD, WEIGHTS, SUMMARY)]
WHOLE = sorted([*WHOLE, "events"])


def move(folder):
    folder.rename(folder.parent / "moved")


@pytest.mark.parametrize("lose", first_fast([move, shutil.rmtree]))
def test_a_folder_that_is_lost_while_it_is_trained_is_made_again_whole_and_that_is_said_once(
    train_here, tmp_path, caplog, lose
):
    folder = tmp_path / "runs" / "tiny" / "version_0"
    lost = After(25, lambda: lose(folder))
    changes = {"run_name": "tiny", "max_steps": 50, "val_every_steps": 10, "lr": 1e-30}
    assert train_here(callbacks=[lost], **changes) == folder
    said = [record.message for record in caplog.records if "is gone" in record.message]
    assert [record.levelname for record in caplog.records].count("WARNING") == len(said) == 1
    assert said[0].startswith(f"step 30: {folder.relative_to(tmp_path)} is gone, moved or removed")
    assert files_in(folder) == WHOLE
    assert [step for step, _ in curves(folder)["val_loss"]][-2:] == [40, 50]
    if lose is move:  # what was there is what a resume of that time needs
        assert {LAST.as_posix(), BEST.as_posix(), CONFIG.as_posix()} <= set(
            files_in(folder.parent / "moved")
        )
    train_here(str(folder / CONFIG), resume=folder / LAST, max_steps=60)
    assert torch.load(folder / LAST, weights_only=True)["global_step"] == 60


def test_a_run_whose_place_another_has_taken_ends_and_saves_nothing_there(train_here, tmp_path):
    folder = tmp_path / "runs" / "gpt" / "version_0"
    others = RunLock()

    def take_its_place():
        shutil.rmtree(folder)
        folder.mkdir()
        others.take(folder)
        write_text(folder / CONFIG, "another run's")

    with others, pytest.raises(UserError, match=r"version_0: process \d+ on .* is training this"):
        train_here(callbacks=[After(5, take_its_place)], max_steps=20, val_every_steps=10)
    assert set(files_in(folder)) <= {CONFIG.as_posix(), "events"}
    assert (folder / CONFIG).read_text(encoding="utf-8") == "another run's"


@pytest.mark.parametrize("name", first_fast(["cost 5$HOME ~", "saved"]))
def test_a_run_that_was_moved_goes_on_where_it_is(train_here, tmp_path, monkeypatch, capsys, name):
    folder = train_here(max_steps=10, val_every_steps=10)
    moved = folder.rename(tmp_path / name)
    shutil.rmtree(tmp_path / "runs")
    monkeypatch.chdir(moved)
    config = str(moved / CONFIG)
    changes = {"max_steps": 20, "data_path": "../hamlet.txt"}
    assert train_here(config, resume=LAST, **changes) == moved
    said = capsys.readouterr().out
    assert f"going on from step 10 of 20, with {LAST}" in said
    assert "tensorboard --logdir" in said
    assert f"{moved}" in said.partition("tensorboard --logdir")[2]
    assert [step for step, _ in curves(moved)["train_loss"]] == [10, 20]
    assert {path.name for path in tmp_path.iterdir()} == {"hamlet.txt", name, "tiny.yaml"}


def test_a_run_is_locked_while_it_trains_and_not_afterwards(train_here, tmp_path):
    folder = tmp_path / "runs" / "gpt" / "version_0"
    refused = []

    def resume_it():
        assert holder_of(folder).pid == os.getpid()
        with pytest.raises(UserError, match="is training this run: stop it or wait for its end"):
            train_here(str(folder / CONFIG), resume=folder / LAST, max_steps=20)
        refused.append(True)

    with pytest.raises(SystemExit):
        train_here(
            callbacks=[After(7, resume_it), InterruptAfter(8)], max_steps=20, val_every_steps=5
        )
    assert refused == [True]
    assert not (folder / LOCK).exists()
    train_here(str(folder / CONFIG), resume=folder / LAST)
    assert not (folder / LOCK).exists()


def test_an_error_lets_go_of_the_lock(train_here, tmp_path):
    def fail():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train_here(callbacks=[After(2, fail)], max_steps=20)
    assert not (tmp_path / "runs" / "gpt" / "version_0" / LOCK).exists()


@pytest.fixture
def stopped(tmp_path, write_inputs, monkeypatch):
    """The folder of a run as it looks to the command line."""
    write_inputs(tmp_path)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs" / "tiny" / "version_0"
    (folder / LAST).parent.mkdir(parents=True)
    (folder / LAST).touch()
    shutil.copy("tiny.yaml", folder / CONFIG)
    return folder


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--resume --run_name other", "--run_name does not go with --resume: a run goes on in its"),
        ("--resume runs/tiny --runs_dir other", "--runs_dir does not go with --resume runs/tiny: "),
    ],
)
def test_a_resumed_run_gets_no_other_place(stopped, flags, words):
    with pytest.raises(UserError, match=words):
        train.parse_arguments(flags.split())


def test_resume_without_a_name_looks_in_the_given_runs_dir(stopped):
    Path("runs").rename("others")
    arguments = train.parse_arguments(["--resume", "--runs_dir", "others"])
    assert arguments.resume.why == "the newest run in others"
    assert arguments.config.runs_dir == "others"


@pytest.mark.parametrize("name", ["lr:0.001", "a?", "CON", "a ", "a.", "x" * 254 + "\u00e9"])
def test_a_config_whose_name_no_folder_can_have_is_refused_unless_a_run_name_is_given(
    tmp_path, write_inputs, name, monkeypatch
):
    write_inputs(tmp_path)
    read = train.read_draft  # not every system can have such a file
    monkeypatch.setattr(train, "read_draft", lambda _, flags: read("tiny.yaml", flags))
    monkeypatch.chdir(tmp_path)
    path = f"configs/{name}.yaml"
    with pytest.raises(UserError, match=r"rename the file or give --run_name"):
        train.parse_arguments(["--config", path])
    named = train.parse_arguments(["--config", path, "--run_name", "mine"]).config
    assert named.run_name == "mine"


def test_a_run_name_that_no_folder_can_have_is_refused_in_python_too(train_here, tmp_path):
    with pytest.raises(UserError, match=r"it is longer than 255 bytes; give another"):
        train_here(run_name="x" * 256)
    with pytest.raises(UserError, match="Windows reserves it for a device"):
        train_here(run_name="aux")
    assert not (tmp_path / "runs").exists()


def test_a_run_that_may_not_be_written_says_what_helps(train_here, monkeypatch):
    folder = train_here(max_steps=2)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(UserError, match="make it writable, or copy it to a writable place and"):
        train_here(str(folder / CONFIG), resume=folder / LAST, max_steps=4)


def test_another_run_name_is_refused_on_resuming(train_here):
    folder = train_here(max_steps=2, run_name="a")
    with pytest.raises(UserError, match="a run goes on in its own folder: leave out run_name=b"):
        train_here(str(folder / CONFIG), resume=folder / LAST, max_steps=4, run_name="b")
