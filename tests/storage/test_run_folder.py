"""Where runs live, which is the newest, and what a name on the command line stands for."""

import os
from pathlib import Path

import pytest

from transformer.storage.run_folder import (
    BEST,
    LAST,
    LAUNCH,
    PREVIOUS,
    SUMMARY,
    WEIGHTS,
    find_model,
    find_restart,
    find_resume,
    find_run,
    new_run_folder,
)
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


def test_runs_of_one_name_are_numbered_from_zero(tmp_path):
    folders = [new_run_folder(tmp_path / "runs", "a") for _ in range(3)]
    assert folders == [tmp_path / "runs" / "a" / f"version_{n}" for n in range(3)]
    assert all(folder.is_dir() for folder in folders)


def test_runs_of_another_name_are_numbered_on_their_own(tmp_path):
    new_run_folder(tmp_path, "a")
    assert new_run_folder(tmp_path, "b") == tmp_path / "b" / "version_0"


@pytest.mark.parametrize(
    ("there", "number"),
    [(["version_2"], 3), (["version_9", "version_10"], 11), (["version_x", "version_²", "x_5"], 0)],
)
def test_new_run_has_the_number_after_the_highest(tmp_path, there, number):
    for name in there:
        (tmp_path / "a" / name).mkdir(parents=True)
    assert new_run_folder(tmp_path, "a").name == f"version_{number}"


def test_run_whose_number_another_took_in_between_takes_the_next(tmp_path, monkeypatch):
    mkdir = Path.mkdir
    rivals = ["version_0"]

    def slow_mkdir(self: Path, **arguments: bool) -> None:
        if rivals and self.name == rivals[0]:
            mkdir(self.parent / rivals.pop())
        mkdir(self, **arguments)

    monkeypatch.setattr(Path, "mkdir", slow_mkdir)
    assert new_run_folder(tmp_path, "a").name == "version_1"


def test_folder_that_cannot_be_made_is_an_error(tmp_path):
    touch(tmp_path / "runs")
    with pytest.raises(UserError, match=r"runs.a: cannot make a folder here \(.+\): give another"):
        new_run_folder(tmp_path / "runs", "a")


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_folder_name_that_no_file_system_has_is_an_error(tmp_path, name):
    with pytest.raises(UserError, match="cannot make a folder here"):
        new_run_folder(tmp_path / name, "a")


def test_newest_run_is_the_one_whose_last_checkpoint_is_newest(tmp_path):
    make_run(tmp_path, "a", 100)
    newest = make_run(tmp_path, "b", 300)
    later = make_run(tmp_path, "b", 200)
    new_run_folder(tmp_path, "c")  # started last, and has no checkpoint yet
    touch(later / WEIGHTS, 400)
    assert find_run(None, tmp_path) == newest


@pytest.mark.parametrize("folder", ["", "nowhere"])
def test_no_run_with_a_checkpoint_is_an_error(tmp_path, folder):
    new_run_folder(tmp_path, "a")
    with pytest.raises(UserError, match=r"no run with a checkpoint here: train one with"):
        find_run(None, tmp_path / folder)


def test_model_without_a_name_is_the_newest_runs_best(tmp_path):
    run = make_run(tmp_path, "a", 100)
    make_run(tmp_path, "b", 50)
    touch(run / WEIGHTS)
    assert find_model(None, tmp_path) == run / WEIGHTS


def test_model_of_a_run_folder_is_its_weights_then_best_then_last(tmp_path):
    run = make_run(tmp_path, "a", 100)
    for path in (LAST, BEST, WEIGHTS):
        touch(run / path)
        assert find_model(str(run), "no runs here") == run / path


def test_model_that_is_a_named_file_is_that_file(tmp_path):
    path = touch(tmp_path / "mine.safetensors")
    assert find_model(str(path), "no runs here") == path


def test_resume_without_a_name_takes_the_newest_runs_last_checkpoint(tmp_path):
    make_run(tmp_path, "a", 50)
    run = make_run(tmp_path, "b", 100)
    touch(run / BEST, 200)
    assert find_resume("", tmp_path).checkpoints == [run / LAST]


def test_resume_takes_a_run_folder_or_a_checkpoint_by_name(tmp_path):
    make_run(tmp_path, "a", 100)
    run = make_run(tmp_path, "b", 50)
    assert find_resume(str(run), tmp_path).checkpoints == [run / LAST]
    assert find_resume(str(touch(run / BEST)), tmp_path).checkpoints == [run / BEST]


@pytest.fixture
def lost_run(tmp_path):
    """The newest of its name, with checkpoints and no end."""
    touch(tmp_path / "mine" / "version_9" / LAST)
    run = tmp_path / "mine" / "version_10"
    for name in (LAST, PREVIOUS):
        touch(run / name)
    return run


def test_processes_that_are_started_again_go_on_with_the_newest_run(
    lost_run, tmp_path, monkeypatch
):
    assert find_restart(tmp_path, "mine") == []  # a first start
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert find_restart(tmp_path, "mine") == [lost_run / LAST, lost_run / PREVIOUS]
    assert find_restart(tmp_path, "another") == []
    (tmp_path / "mine" / "version_11").mkdir()  # lost before its first checkpoint
    assert find_restart(tmp_path, "mine") == []


def test_after_a_race_the_winner_is_gone_on_with_and_not_the_last_candidate(
    lost_run, tmp_path, monkeypatch
):
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    winner = tmp_path / "mine" / "version_9"
    os.utime(winner / LAST, (2e9, 2e9))  # went on after the others
    assert find_restart(tmp_path, "mine") == [winner / LAST]
    touch(winner / SUMMARY)  # and has ended, so the others have, too
    assert find_restart(tmp_path, "mine") == []


def test_a_picture_in_a_run_that_has_ended_hides_no_lost_run(lost_run, tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    touch(tmp_path / "mine" / "version_9" / SUMMARY)
    touch(tmp_path / "mine" / "version_9" / "curves.png")
    assert find_restart(tmp_path, "mine") == [lost_run / LAST, lost_run / PREVIOUS]


def test_a_run_that_has_ended_is_not_gone_on_with(lost_run, tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    touch(lost_run / SUMMARY)
    assert find_restart(tmp_path, "mine") == []


def test_torchruns_id_tells_a_restart_from_a_first_start(lost_run, tmp_path, monkeypatch):
    """On a machine that has lost no process itself, its count of restarts is 0."""
    (lost_run / LAUNCH).write_text("this one", encoding="utf-8")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "another")
    assert find_restart(tmp_path, "mine") == []
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")  # before it had made a folder of its own
    assert find_restart(tmp_path, "mine") == []
    monkeypatch.delenv("TORCHELASTIC_RESTART_COUNT")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "this one")
    assert find_restart(tmp_path, "mine") == [lost_run / LAST, lost_run / PREVIOUS]


def test_resume_from_inside_the_checkpoints_folder_finds_the_run(tmp_path, monkeypatch):
    run = make_run(tmp_path, "a", 100)
    monkeypatch.chdir((run / LAST).parent)
    assert find_resume(LAST.name, "no runs here").checkpoints[0].parents[1].samefile(run)


@pytest.mark.parametrize("name", ["nowhere", "runs/a/version_0/checkpoints/best.ckpt"])
def test_resume_from_a_missing_checkpoint_is_an_error(tmp_path, name):
    make_run(tmp_path / "runs", "a", 100)
    with pytest.raises(UserError, match="no such checkpoint; --resume without a name takes"):
        find_resume(str(tmp_path / name), tmp_path / "runs")


def test_resume_from_a_folder_of_runs_takes_the_newest_in_it(tmp_path):
    make_run(tmp_path / "runs", "a", 100)
    newest = make_run(tmp_path / "runs", "b", 200)
    assert find_resume(str(tmp_path / "runs" / "b"), "no runs here").checkpoints[0] == newest / LAST
    assert find_resume(str(tmp_path / "runs"), "no runs here").checkpoints[0] == newest / LAST


def test_resume_of_a_run_without_a_checkpoint_says_that_there_is_nothing_to_go_on_from(tmp_path):
    (tmp_path / "runs" / "a" / "version_0").mkdir(parents=True)
    with pytest.raises(UserError, match=r"holds no checkpoint: .* start it again without `resume`"):
        find_resume(str(tmp_path / "runs" / "a" / "version_0"), "no runs here")


def test_resume_from_a_checkpoint_outside_a_run_is_an_error(tmp_path):
    path = touch(tmp_path / "elsewhere" / "last.ckpt")
    with pytest.raises(UserError, match=r"cannot resume: there is no config\.yaml two folders up"):
        find_resume(str(path), tmp_path)


def test_run_by_name_is_itself_of_a_folder_of_runs_the_newest_and_else_the_newest(tmp_path):
    old, new = make_run(tmp_path, "a", 100), make_run(tmp_path, "b", 200)
    assert find_run(str(old), tmp_path) == old
    assert find_run(str(tmp_path / "a"), "no runs here") == old
    assert find_run(str(tmp_path), "no runs here") == find_run(None, tmp_path) == new
    starting = new_run_folder(tmp_path, "c")  # has no checkpoint yet
    assert find_run(str(starting), "no runs here") == starting


@pytest.mark.parametrize("name", ["nowhere", "a\0b"])
def test_run_that_is_not_there_is_an_error(tmp_path, name):
    with pytest.raises(UserError, match="no such folder: name a run, such as runs/default/v"):
        find_run(name, tmp_path)
