"""Where runs live: `runs_dir/<name>/version_<n>/`, and how the newest is found. No torch."""

import os

# These take any name for no file; Path's own raise for one that the system refuses.
from os.path import isdir, isfile
from pathlib import Path

from transformer.errors import UserError
from transformer.files import read_utf8
from transformer.processes import launch_id, was_restarted

BEST = Path("checkpoints", "best.ckpt")
LAST = Path("checkpoints", "last.ckpt")
PREVIOUS = Path("checkpoints", "previous.ckpt")  # what last.ckpt was before
WEIGHTS = Path("model.safetensors")
CONFIG = Path("config.yaml")
SUMMARY = Path("summary.json")
LAUNCH = Path("launch_id.txt")  # of torchrun


def check_writable(runs_dir: str | Path) -> None:
    """Raises: UserError where a run's folder could not be made; makes none."""
    folder = Path(runs_dir).absolute()
    folder = next(path for path in (folder, *folder.parents) if path.exists())
    if not folder.is_dir():
        raise UserError(f"{runs_dir}: {folder} is a file, not a folder: give another `runs_dir`")
    if not os.access(folder, os.W_OK):
        raise UserError(f"{runs_dir}: cannot write in {folder}: give another `runs_dir`")


def new_run_folder(runs_dir: str | Path, name: str) -> Path:
    """Makes `runs_dir/name/version_<n>` with the lowest free n above all there are.

    Raises: UserError where no folder can be made.
    """
    home = Path(runs_dir, name)
    try:
        home.mkdir(parents=True, exist_ok=True)
        while True:
            numbers = [int(n) for f in home.glob("version_*") if (n := f.name[8:]).isdecimal()]
            folder = home / f"version_{max(numbers, default=-1) + 1}"
            try:
                folder.mkdir()
                return folder
            except FileExistsError:  # another run took it in between
                continue
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"{home}: cannot make a folder here ({reason}): give another `runs_dir`"
        ) from None


def newest_run(runs_dir: str | Path) -> Path:
    """The run folder whose last.ckpt is newest. Raises: UserError where there is none."""
    found = list(Path(runs_dir).glob(f"*/version_*/{LAST.as_posix()}"))
    if not found:
        raise UserError(
            f"{runs_dir}: no run with a checkpoint here: train one with `python train.py`, "
            "or name one, or another `runs_dir`"
        )
    return _newest(found)


def _newest(last_checkpoints: list[Path]) -> Path:
    return run_of(max(last_checkpoints, key=lambda path: path.stat().st_mtime))


def best_model(run: Path) -> Path:
    """The run's model.safetensors; where it is not written yet, its best or last checkpoint."""
    candidates = [run / name for name in (WEIGHTS, BEST, LAST)]
    return next((path for path in candidates if isfile(path)), candidates[0])


def find_run(run: str | None, runs_dir: str | Path) -> Path:
    """A named run's folder, of a folder of runs the newest in it, or the newest of `runs_dir`.

    Raises: UserError where there is no such folder.
    """
    if run is None:
        return newest_run(runs_dir)
    path = Path(run)
    if not isdir(path):
        raise UserError(f"{path}: no such folder: name a run's, such as runs/default/version_0")
    inside = list(path.glob(f"**/{LAST.as_posix()}"))
    return _newest(inside) if inside else path


def find_model(checkpoint: str | None, runs_dir: str | Path) -> Path:
    """A named file, a named run folder's best model, or the newest run's.

    Raises: UserError where there is no such file.
    """
    path = None if checkpoint is None else Path(checkpoint)
    if path is None or isdir(path):
        path = best_model(find_run(checkpoint, runs_dir))
    if not isfile(path):
        raise UserError(f"{path}: no such checkpoint: name a model.safetensors, a .ckpt or a run")
    return path


def find_restart(runs_dir: str | Path, name: str) -> list[Path]:
    """The .ckpt files, the newest first, of the run that these processes have been started again
    for: the newest of that name, if it has not ended. None in a first start.
    """
    runs = [path for path in Path(runs_dir, name).glob("version_*") if path.name[8:].isdecimal()]
    run = max(runs, key=lambda path: int(path.name[8:]), default=None)
    if run is None or isfile(run / SUMMARY):
        return []
    launch = launch_id()
    if launch is None:
        started_again = was_restarted()
    else:
        started_again = isfile(run / LAUNCH) and read_utf8(run / LAUNCH, "id") == launch
    if not started_again:
        return []
    return _checkpoints(run)


def _checkpoints(run: Path) -> list[Path]:
    """A run's .ckpt files to go on from, the newest first."""
    return [path for path in (run / LAST, run / PREVIOUS) if isfile(path)]


def find_resume(checkpoint: str, runs_dir: str | Path) -> list[Path]:
    """The .ckpt files to go on from, the newest first: a named file alone, or a run's.

    Of a folder, of the newest run in one, or (empty name) of the newest of `runs_dir`: its
    last.ckpt, and the one before it.

    Raises: UserError for a file that is missing or not in a run folder.
    """
    path = Path(checkpoint) if checkpoint else newest_run(runs_dir)
    if isdir(path):
        path = find_run(str(path), runs_dir)
        found = _checkpoints(path)
        if not found:
            raise UserError(
                f"{path}: holds no checkpoint: a run that ended before its first one starts again "
                "without --resume"
            )
    elif isfile(path):
        found = [path if len(path.parents) > 1 else path.absolute()]  # a bare name
    else:
        raise UserError(
            f"{path}: no such checkpoint; --resume without a name takes the newest run's"
        )
    if not isfile(run_of(found[0]) / CONFIG):
        raise UserError(
            f"{found[0]}: cannot go on: there is no config.yaml two folders up, as in a run "
            "folder; name a run's checkpoints/last.ckpt"
        )
    return found


def run_of(checkpoint: Path) -> Path:
    """The folder of the run that a .ckpt belongs to."""
    return checkpoint.parents[1]
