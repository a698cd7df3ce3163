"""Makes and finds the folders of runs: `runs_dir/<name>/version_<n>/`. No torch."""

import os
from collections.abc import Sequence
from contextlib import suppress

# These return False for a name that the system refuses; Path's own methods raise an error.
from os.path import exists, isdir, isfile
from pathlib import Path
from typing import NamedTuple

from transformer.storage.pretrained.places import is_pretrained
from transformer.storage.run_lock import holder_of
from transformer.system.errors import UserError
from transformer.system.files import read_utf8
from transformer.system.paths import expanded
from transformer.system.processes import launch_id, was_restarted

BEST = Path("checkpoints", "best.ckpt")
LAST = Path("checkpoints", "last.ckpt")
PREVIOUS = Path("checkpoints", "previous.ckpt")  # the last.ckpt before this one
WEIGHTS = Path("model.safetensors")
CONFIG = Path("config.yaml")
SUMMARY = Path("summary.json")
LAUNCH = Path("launch_id.txt")  # holds `launch_id()`


def check_writable(runs_dir: str | Path) -> None:
    """Raises: UserError if no folder could be made in `runs_dir`; makes none itself."""
    folder = Path(runs_dir).absolute()
    folder = next(path for path in (folder, *folder.parents) if exists(path))
    if not folder.is_dir():
        raise UserError(f"{runs_dir}: {folder} is a file, not a folder: give another `runs_dir`")
    if not os.access(folder, os.W_OK):
        raise UserError(f"{runs_dir}: cannot write in {folder}: give another `runs_dir`")


def check_run_writable(run: Path) -> None:
    """Raises: UserError if a resumed run cannot write into its folder."""
    for folder in (run, run / LAST.parent):
        if exists(folder) and not os.access(folder, os.W_OK):
            raise not_writable(run, f"cannot write in {folder}")


def not_writable(run: Path, reason: str) -> UserError:
    return UserError(
        f"{run}: {reason}, but a resumed run writes into its own folder: make it writable, or copy "
        "it to a writable place and `resume` the copy"
    )


def new_run_folder(runs_dir: str | Path, name: str) -> Path:
    """Makes `runs_dir/name/version_<n>`, n being one more than the highest that exists.

    Raises: UserError if no folder can be made.
    """
    home = Path(runs_dir, name)
    try:
        home.mkdir(parents=True, exist_ok=True)
        while True:
            numbers = [int(n) for f in home.glob("version_*") if (n := f.name[8:]).isdecimal()]
            folder = home / f"version_{max(numbers, default=-1) + 1}"
            with suppress(FileExistsError):  # another run took it in between
                folder.mkdir()
                return folder
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"{home}: cannot make a folder here ({reason}): give another `runs_dir`"
        ) from None


def _runs_of(runs_dir: str | Path) -> list[Path]:
    """The runs up to two folders below `runs_dir`, under any name, the newest first.

    Raises: UserError if there is none.
    """
    found = _runs_in(_path(runs_dir), "", "*/", "*/*/")
    if not found:
        raise UserError(
            f"{runs_dir}: no run with a checkpoint here: train one with `python train.py`, "
            "name a run, or give another `runs_dir`"
        )
    return found


def _runs_in(folder: Path, *patterns: str) -> list[Path]:
    files = (file for pattern in patterns for file in folder.glob(pattern + LAST.as_posix()))
    runs = [file.parent.parent for file in files]
    return sorted(runs, key=lambda run: _modified_at(run / LAST), reverse=True)


def idle_run(runs: Sequence[Path], place: str | Path) -> tuple[Path, str]:
    """The first run that no process is training, and in words why this run was chosen.

    Raises: UserError if there is none.
    """
    training = []
    for run in runs:
        if holder_of(run) is None:
            why = f" that is not training ({', '.join(training)} is)" if training else ""
            return run, f"the newest run in {place}{why}"
        training.append(str(run))
    raise UserError(
        f"{place}: every run with a checkpoint is still training ({', '.join(training)}): "
        "stop one, or start a new run"
    )


def _modified_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # just removed, or a broken link
        return 0.0


def find_run(run: str | None, runs_dir: str | Path) -> Path:
    """The run that the path `run` belongs to; if it is a folder of runs, the newest run in it.

    None stands for `runs_dir`.

    Raises: UserError if there is no such folder or, for None, no run.
    """
    if run is None:
        return _runs_of(runs_dir)[0]
    path, runs = _named(run)
    return runs[0] if runs else path


def _named(name: str | Path) -> tuple[Path, list[Path]]:
    """The run that a path belongs to, or a folder of runs with the runs in it, the newest first.

    Raises: UserError if there is no such folder.
    """
    path = _path(name)
    if isfile(path) and isfile((folder := run_of(path)) / CONFIG):
        return folder, []
    if not isdir(path):
        raise UserError(f"{path}: no such folder: name a run, such as runs/default/version_0")
    folder = run_of(path / LAST.name)  # if the path is its folder of checkpoints
    if path.resolve() == (folder / LAST.parent).resolve() and _is_run(folder):
        return folder, []
    return path, [] if _is_run(path) else _runs_in(path, "**/")


def _is_run(folder: Path) -> bool:
    return any(isfile(folder / name) for name in (LAST, PREVIOUS, BEST))


def _path(name: str | Path) -> Path:
    """Expands `~` and variables; makes `.` and paths with `..` absolute, so that parents exist."""
    path = Path(expanded(name))
    return path.resolve() if path == Path() or ".." in path.parts else path


def find_model(checkpoint: str | None, runs_dir: str | Path) -> Path:
    """The named file, or the best model of the named run, or else of the newest run.

    That is its model.safetensors; before that is written, its best or last checkpoint. The folder
    of a model of another program is found as it is.

    Raises: UserError if there is no such file.
    """
    path = None if checkpoint is None else _path(checkpoint)
    if path is not None and is_pretrained(path):
        return path
    if path is None or isdir(path):
        run = find_run(checkpoint, runs_dir)
        models = [file for name in (WEIGHTS, BEST, LAST) if isfile(file := run / name)]
        path = models[0] if models else run / WEIGHTS
    if not isfile(path):
        raise UserError(
            f"{path}: no such checkpoint: name a model.safetensors, a .ckpt, a run, or a folder "
            "with a config.json"
        )
    return path


def find_models(checkpoints: Sequence[str], runs_dir: str | Path) -> list[Path]:
    """As `find_model` for each name; without a name, the best model of the newest run."""
    return [find_model(name, runs_dir) for name in checkpoints or (None,)]


def find_restart(runs_dir: str | Path, name: str) -> list[Path]:
    """The .ckpt files, the newest first, of the run that restarted processes should continue.

    That is the one of this name that was written last, if it has not ended: after a race, not the
    last candidate but the winner, which went on. Empty on a first start.
    """
    versions = Path(runs_dir, name).glob("version_*")
    runs = [run for run in versions if run.name[8:].isdecimal() and holder_of(run) is None]
    if (launch := launch_id()) is not None:
        runs = [run for run in runs if _launched_by(run, launch)]
    elif not was_restarted():
        return []
    run = max(runs, key=lambda run: (_written_at(run), int(run.name[8:])), default=None)
    return [] if run is None or isfile(run / SUMMARY) else _checkpoints(run)


def _launched_by(run: Path, launch: str) -> bool:
    return isfile(run / LAUNCH) and read_utf8(run / LAUNCH, "id") == launch


def _written_at(run: Path) -> float:
    """When training wrote; a run that was lost early has a config alone, or not even that."""
    return max(_modified_at(run / name) for name in (LAST, CONFIG)) or _modified_at(run)


def _checkpoints(run: Path) -> list[Path]:
    return [path for path in (run / LAST, run / PREVIOUS) if isfile(path)]


class Resume(NamedTuple):
    """The .ckpt files to continue from, newest first, and why this run, if none was named."""

    checkpoints: Sequence[Path] = ()
    why: str = ""


def find_resume(checkpoint: str, runs_dir: str | Path) -> Resume:
    """The named file, or the last and the previous checkpoint of a run.

    The run is the named one. If a folder of runs is named, it is the newest one in there that is
    not training; an empty name stands for `runs_dir`.

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
    if isdir(path):
        found = _checkpoints(path)
    else:
        found = [path if len(path.parents) > 1 else path.absolute()]
    if not found:
        raise UserError(
            f"{path}: holds no checkpoint: if the run ended before its first one, start it again "
            "without `resume`"
        )
    if found[0].suffix != ".ckpt":
        raise UserError(
            f"{path}: a run cannot resume from this file: name the run's folder, or its {LAST}"
        )
    if not isfile(run_of(found[0]) / CONFIG):
        raise UserError(
            f"{found[0]}: cannot resume: there is no config.yaml two folders up, as in a run "
            f"folder; name a run's {LAST}"
        )
    return Resume(found, why)


def run_of(checkpoint: Path) -> Path:
    """The run folder of a .ckpt, which may be given as a link or as a bare file name.

    If no folder above it holds a config.yaml, this is the folder two levels up.
    """
    path = _path(checkpoint)
    above = [*path.parents[1:2], *path.absolute().parents[1:2], *path.resolve().parents[1:2]]
    above += [path.parent, path.resolve().parent]
    folder = next((folder for folder in above if isfile(folder / CONFIG)), above[0])
    return folder.absolute() if folder == Path() else folder


def find_ended(name: str) -> Path:
    """The named run, which must have a checkpoint; of a folder of runs, the newest in it.

    Raises: UserError for a folder that is no run, and for a run that a process is training.
    """
    run = find_run(name, name)
    if not isfile(run / CONFIG):
        raise UserError(
            f"{run}: not the folder of a run, it has no config.yaml: name a run, such as "
            "runs/default/version_0"
        )
    if (holder := holder_of(run)) is not None:
        raise UserError(
            f"{run}: {holder} is still training it: wait for its end, or stop it, and try again"
        )
    if not isfile(run / LAST):
        raise UserError(
            f"{run}: has no {LAST}, because it ended before its first checkpoint: start it again "
            f"with `config={run / CONFIG}`"
        )
    return run
