"""Any path to a run or a checkpoint leads to the run, wherever it was moved."""

import os
from pathlib import Path

import pytest

from transformer.storage.run_folder import (
    BEST,
    LAST,
    PREVIOUS,
    WEIGHTS,
    check_run_writable,
    check_writable,
    find_model,
    find_resume,
    find_run,
    new_run_folder,
    run_of,
)
from transformer.storage.run_lock import RunLock
from transformer.system.errors import UserError


def touch(path: Path, modified_at: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.utime(path, (modified_at, modified_at))
    return path


def make_run(runs: Path, name: str, modified_at: int) -> Path:
    """A run of that name with a checkpoint of that age."""
    run = new_run_folder(runs, name)
    touch(run / LAST, modified_at)
    touch(run / "config.yaml")
    return run


@pytest.fixture
def moved_run(tmp_path):
    """A run outside every folder of runs, a link to it, and all its files."""
    run = make_run(tmp_path / "runs", "a", 100).rename(tmp_path / "saved")
    for name in (PREVIOUS, BEST, WEIGHTS):
        touch(run / name)
    (tmp_path / "latest").symlink_to(run)
    return run


PATHS_TO_A_RUN = [
    *(("", "saved"), ("", "saved/"), ("", "latest"), ("saved", "."), ("saved", "../latest")),
    *(("saved/checkpoints", ".."), ("", "saved/checkpoints"), ("saved/checkpoints", ".")),
    *(("saved", "checkpoints"), ("", "~/saved"), ("", "latest/checkpoints/")),
]
PATHS_TO_A_CHECKPOINT = [
    *(("", "saved/checkpoints/last.ckpt"), ("", "latest/checkpoints/last.ckpt")),
    *(("saved", "checkpoints/last.ckpt"), ("saved/checkpoints", "last.ckpt")),
    *(("saved/checkpoints", "./last.ckpt"), ("saved/checkpoints", "../checkpoints/last.ckpt")),
    *(("", "~/saved/checkpoints/last.ckpt"), ("saved", "../latest/checkpoints/last.ckpt")),
    ("", "a_link.ckpt"),
]


@pytest.mark.parametrize(("start", "path"), PATHS_TO_A_RUN)
def test_any_path_to_a_run_is_that_run(moved_run, tmp_path, monkeypatch, start, path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path / start)
    found = find_resume(path, "no runs here").checkpoints
    assert [file.resolve() for file in found] == [moved_run / LAST, moved_run / PREVIOUS]
    assert run_of(found[0]).samefile(moved_run)
    assert find_run(path, "no runs here").samefile(moved_run)
    assert find_model(path, "no runs here").samefile(moved_run / WEIGHTS)


@pytest.mark.parametrize(("start", "path"), PATHS_TO_A_CHECKPOINT)
def test_any_path_to_a_checkpoint_leads_to_its_run(moved_run, tmp_path, monkeypatch, start, path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "a_link.ckpt").symlink_to(moved_run / LAST)
    monkeypatch.chdir(tmp_path / start)
    (found,) = find_resume(path, "no runs here").checkpoints
    assert found.samefile(moved_run / LAST)
    assert run_of(found).samefile(moved_run)
    assert find_run(path, "no runs here").samefile(moved_run)
    assert find_model(path, "no runs here").samefile(moved_run / LAST)


@pytest.mark.parametrize("name", [PREVIOUS, BEST])
def test_a_run_goes_on_from_any_of_its_checkpoints(moved_run, name):
    assert find_resume(str(moved_run / name), "no runs here").checkpoints == [moved_run / name]


@pytest.mark.parametrize("name", [WEIGHTS, "config.yaml"])
def test_a_file_that_is_no_checkpoint_is_an_error_that_names_one(moved_run, name):
    with pytest.raises(UserError, match="cannot resume from this file: name the run's folder, or"):
        find_resume(str(moved_run / name), "no runs here")


def test_a_run_that_was_moved_among_others_is_found_there(tmp_path):
    make_run(tmp_path, "a", 100)
    moved = make_run(tmp_path, "b", 200).rename(tmp_path / "b" / "the good one")
    assert find_run(None, tmp_path) == moved
    moved = moved.rename(tmp_path / "the good one")
    assert find_run(None, tmp_path) == moved


def test_resume_without_a_name_leaves_out_runs_that_are_training_and_says_so(tmp_path):
    idle, busy = make_run(tmp_path, "a", 100), make_run(tmp_path, "b", 200)
    with RunLock() as lock:
        lock.take(busy)
        assert find_resume("", tmp_path) == (
            [idle / LAST],
            f"the newest run in {tmp_path} that is not training ({busy} is)",
        )
        assert find_resume(str(tmp_path), "no runs here").checkpoints == [idle / LAST]
        assert find_run(None, tmp_path) == busy  # whose model may be used
        with RunLock() as second:
            second.take(idle)
            with pytest.raises(UserError, match="every run with a checkpoint is still training"):
                find_resume("", tmp_path)
    assert find_resume("", tmp_path) == ([busy / LAST], f"the newest run in {tmp_path}")


def test_a_folder_that_may_not_be_written_is_an_error_with_the_way_out(tmp_path, monkeypatch):
    run = make_run(tmp_path, "a", 100)
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != run / "checkpoints")
    with pytest.raises(UserError, match="make it writable, or copy it to a writable place"):
        check_run_writable(run)
    with pytest.raises(UserError, match="give another `runs_dir`"):
        check_writable(run / "checkpoints")


def test_a_too_long_runs_dir_is_an_error_that_says_so(tmp_path):
    check_writable(tmp_path / ("x" * 300))
    with pytest.raises(UserError, match=r"cannot make a folder here \(File name too long\)"):
        new_run_folder(tmp_path / ("x" * 300), "a")
