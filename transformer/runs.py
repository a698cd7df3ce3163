"""Where runs live: `runs_dir/<name>/version_<n>/`, and how the newest is found. No torch."""

from pathlib import Path

from transformer.errors import UserError

BEST = Path("checkpoints", "best.ckpt")
LAST = Path("checkpoints", "last.ckpt")
WEIGHTS = Path("model.safetensors")


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
            "or name a checkpoint file or another --runs_dir"
        )
    return max(found, key=lambda path: path.stat().st_mtime).parents[1]


def best_model(run: Path) -> Path:
    """The run's model.safetensors; where it is not written yet, its best or last checkpoint."""
    candidates = [run / name for name in (WEIGHTS, BEST, LAST)]
    return next((path for path in candidates if path.is_file()), candidates[0])


def find_model(checkpoint: str | None, runs_dir: str | Path) -> Path:
    """A named file, a named run folder's best model, or the newest run's."""
    if checkpoint is None:
        return best_model(newest_run(runs_dir))
    path = Path(checkpoint)
    return best_model(path) if path.is_dir() else path


def find_resume(checkpoint: str, runs_dir: str | Path) -> Path:
    """The .ckpt to go on from: a named file, a run folder's last, or (empty name) the newest run's.

    Raises: UserError for a file that is missing or not in a run folder.
    """
    path = Path(checkpoint) if checkpoint else newest_run(runs_dir) / LAST
    path = path / LAST if path.is_dir() else path
    path = path if len(path.parents) > 1 else path.absolute()  # a bare file name
    if not path.is_file():
        raise UserError(
            f"{path}: no such checkpoint; --resume without a name takes the newest run's"
        )
    if not (path.parents[1] / "config.yaml").is_file():
        raise UserError(
            f"{path}: cannot go on: there is no config.yaml two folders up, as in a run folder; "
            "name a run's checkpoints/last.ckpt"
        )
    return path
