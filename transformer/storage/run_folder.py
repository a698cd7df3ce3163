"""Where runs live: `runs_dir/<name>/version_<n>/`, and how the newest is found. No torch."""

import os
from collections.abc import Sequence

# These take any name for no file; Path's own raise for one that the system refuses.
from os.path import exists, isdir, isfile
from pathlib import Path
from typing import NamedTuple

from transformer.storage.run_lock import holder_of
from transformer.system.errors import UserError
from transformer.system.files import read_utf8
from transformer.system.paths import expanded
from transformer.system.processes import launch_id, was_restarted

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
    folder = next(path for path in (folder, *folder.parents) if exists(path))
    if not folder.is_dir():
        raise UserError(f"{runs_dir}: {folder} is a file, not a folder: give another `runs_dir`")
    if not os.access(folder, os.W_OK):
        raise UserError(f"{runs_dir}: cannot write in {folder}: give another `runs_dir`")


def check_run_writable(run: Path) -> None:
    """Raises: UserError where a run cannot go on in its folder."""
    for folder in (run, run / LAST.parent):
        if exists(folder) and not os.access(folder, os.W_OK):
            raise not_writable(run, f"cannot write in {folder}")


def not_writable(run: Path, reason: str) -> UserError:
    return UserError(
        f"{run}: {reason}, and a run goes on in its own folder: make it writable, or copy it to a "
        "place that is, and `resume` the copy"
    )


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
    return _runs_of(runs_dir)[0]


def _runs_of(runs_dir: str | Path) -> list[Path]:
    """The newest first; one that was moved there may have any name.

    Raises: UserError where there is none.
    """
    found = [run for stars in ("", "*/", "*/*/") for run in _runs_in(_path(runs_dir), stars)]
    if not found:
        raise UserError(
            f"{runs_dir}: no run with a checkpoint here: train one with `python train.py`, "
            "or name one, or another `runs_dir`"
        )
    return sorted(found, key=_modified_at, reverse=True)


def _runs_in(folder: Path, stars: str = "**/") -> list[Path]:
    """Those with a checkpoint, the newest first."""
    runs = [path.parent.parent for path in folder.glob(stars + LAST.as_posix())]
    return sorted(runs, key=_modified_at, reverse=True)


def idle_run(runs: Sequence[Path], place: str | Path) -> tuple[Path, str]:
    """The first that no process is training, and why it is that one, in words.

    Raises: UserError where there is none.
    """
    training = []
    for run in runs:
        if holder_of(run) is None:
            newer = f" that is not training, as {', '.join(training)} is" if training else ""
            return run, f"the newest run in {place}{newer}"
        training.append(str(run))
    raise UserError(
        f"{place}: every run with a checkpoint is still training ({', '.join(training)}): "
        "stop one, or start a new run"
    )


def _modified_at(run: Path) -> float:
    try:
        return (run / LAST).stat().st_mtime
    except OSError:  # removed just now, or a link to nowhere
        return 0.0


def best_model(run: Path) -> Path:
    """The run's model.safetensors; where it is not written yet, its best or last checkpoint."""
    candidates = [run / name for name in (WEIGHTS, BEST, LAST)]
    return next((path for path in candidates if isfile(path)), candidates[0])


def find_run(run: str | None, runs_dir: str | Path) -> Path:
    """The run that a path belongs to, of a folder of runs the newest in it, or that of `runs_dir`.

    Raises: UserError where there is no such folder.
    """
    if run is None:
        return newest_run(runs_dir)
    path, runs = _named(run)
    return runs[0] if runs else path


def _named(name: str | Path) -> tuple[Path, list[Path]]:
    """The run that a path belongs to; of a folder of runs those in it, the newest first.

    Raises: UserError where there is no such folder.
    """
    path = _path(name)
    if isfile(path) and isfile((folder := run_of(path)) / CONFIG):
        return folder, []
    if not isdir(path):
        raise UserError(f"{path}: no such folder: name a run's, such as runs/default/version_0")
    folder = run_of(path / LAST.name)  # where the path is its folder of checkpoints
    if path.resolve() == (folder / LAST.parent).resolve() and _is_run(folder):
        return folder, []
    return path, [] if _is_run(path) else _runs_in(path)


def _is_run(folder: Path) -> bool:
    return any(isfile(folder / name) for name in (LAST, PREVIOUS, BEST))


def _path(name: str | Path) -> Path:
    """With ~ written out; `.` and what has `..` in it are made absolute, so that it has parents."""
    path = Path(expanded(name))
    return path.resolve() if path == Path() or ".." in path.parts else path


def find_model(checkpoint: str | None, runs_dir: str | Path) -> Path:
    """A named file, a named run folder's best model, or the newest run's.

    Raises: UserError where there is no such file.
    """
    path = None if checkpoint is None else _path(checkpoint)
    if path is None or isdir(path):
        path = best_model(find_run(checkpoint, runs_dir))
    if not isfile(path):
        raise UserError(f"{path}: no such checkpoint: name a model.safetensors, a .ckpt or a run")
    return path


def find_restart(runs_dir: str | Path, name: str) -> list[Path]:
    """The .ckpt files, the newest first, of the run that these processes have been started again
    for: the newest of that name, if it has not ended. None in a first start.
    """
    versions = Path(runs_dir, name).glob("version_*")
    runs = [run for run in versions if run.name[8:].isdecimal() and holder_of(run) is None]
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


class Resume(NamedTuple):
    """The .ckpt files to go on from, the newest first; and why this run, where none was named."""

    checkpoints: Sequence[Path] = ()
    why: str = ""


def find_resume(checkpoint: str, runs_dir: str | Path) -> Resume:
    """A named file alone; or the last.ckpt, and the one before it, of a run.

    That is a named one, or the newest that is not training: of a folder, or (empty name) of
    `runs_dir`.

    Raises: UserError for a file that is missing or not in a run folder.
    """
    why, path = "", _path(checkpoint)
    if not checkpoint:
        path, why = idle_run(_runs_of(runs_dir), runs_dir)
    elif isdir(path):
        path, runs = _named(path)
        if runs:
            path, why = idle_run(runs, checkpoint)
    elif not isfile(path):
        raise UserError(
            f"{path}: no such checkpoint; --resume without a name takes the newest run's"
        )
    found = (
        _checkpoints(path) if isdir(path) else [path if len(path.parents) > 1 else path.absolute()]
    )
    if not found:
        raise UserError(
            f"{path}: holds no checkpoint: a run that ended before its first one starts again "
            "without `resume`"
        )
    if found[0].suffix != ".ckpt":
        raise UserError(
            f"{path}: a run does not go on from this file: name the run's folder, or its {LAST}"
        )
    if not isfile(run_of(found[0]) / CONFIG):
        raise UserError(
            f"{found[0]}: cannot go on: there is no config.yaml two folders up, as in a run "
            f"folder; name a run's {LAST}"
        )
    return Resume(found, why)


def run_of(checkpoint: Path) -> Path:
    """The folder of the run that a .ckpt belongs to, also where a link or a bare name leads to it.

    Where none of the folders above is a run's, the second one.
    """
    path = _path(checkpoint)
    above = [*path.parents[1:2], *path.absolute().parents[1:2], *path.resolve().parents[1:2]]
    above += [path.parent, path.resolve().parent]
    folder = next((folder for folder in above if isfile(folder / CONFIG)), above[0])
    return folder.absolute() if folder == Path() else folder
