"""Where runs live: `runs_dir/<name>/version_<n>/`, and how the newest is found. No torch."""

# These take any name for no file; Path's own raise for one that the system refuses.
from os.path import isdir, isfile
from pathlib import Path

from transformer.errors import UserError

BEST = Path("checkpoints", "best.ckpt")
LAST = Path("checkpoints", "last.ckpt")
WEIGHTS = Path("model.safetensors")
CONFIG = Path("config.yaml")
SUMMARY = Path("summary.json")


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
            f"{home}: cannot make a folder here ({reason}): give another --runs_dir"
        ) from None


def newest_run(runs_dir: str | Path) -> Path:
    """The run folder whose last.ckpt is newest. Raises: UserError where there is none."""
    found = list(Path(runs_dir).glob(f"*/version_*/{LAST.as_posix()}"))
    if not found:
        raise UserError(
            f"{runs_dir}: no run with a checkpoint here: train one with `python train.py`, "
            "or name one, or another --runs_dir"
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


def find_resume(checkpoint: str, runs_dir: str | Path) -> Path:
    """The .ckpt to go on from: a named file, a run folder's last, or (empty name) the newest run's.

    Raises: UserError for a file that is missing or not in a run folder.
    """
    path = Path(checkpoint) if checkpoint else newest_run(runs_dir) / LAST
    path = path / LAST if isdir(path) else path
    path = path if len(path.parents) > 1 else path.absolute()  # a bare file name
    if not isfile(path):
        raise UserError(
            f"{path}: no such checkpoint; --resume without a name takes the newest run's"
        )
    if not isfile(run_of(path) / CONFIG):
        raise UserError(
            f"{path}: cannot go on: there is no config.yaml two folders up, as in a run folder; "
            "name a run's checkpoints/last.ckpt"
        )
    return path


def run_of(checkpoint: Path) -> Path:
    """The folder of the run that a .ckpt belongs to."""
    return checkpoint.parents[1]
