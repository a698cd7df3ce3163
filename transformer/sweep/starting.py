"""Opens the folder of a sweep: a new one, or one that goes on. No torch."""

import argparse
from collections.abc import Callable, Mapping
from os.path import isfile
from pathlib import Path
from typing import Any

from transformer.storage.run_folder import check_writable
from transformer.storage.run_lock import LOCK, RunLock, holder_of
from transformer.sweep.folder import SweepFolder
from transformer.sweep.options import SweepOptions
from transformer.sweep.plan import Plan
from transformer.sweep.plan_file import PLAN, check_same, load, save
from transformer.system.errors import UserError
from transformer.system.processes import check_launch, launched_sizes

_FOR_ANY_SITTING = ("processes", "gpus")


def check_alone() -> None:
    """Raises: UserError if torchrun or srun has started several of this process."""
    check_launch()
    if launched_sizes() not in (None, (1, 1)):
        raise UserError(
            "a sweep starts its processes by itself: start sweep.py once, without torchrun or srun"
        )


def check_resumed(
    arguments: argparse.Namespace, options: SweepOptions, flags: Mapping[str, Any]
) -> None:
    """Raises: UserError for a flag that a sweep which goes on already has."""
    words = {"config": "config", "vary": "vary", "changes": "try", "scaling": "scaling"}
    given = [word for name, word in words.items() if getattr(arguments, name) not in (None, False)]
    given += [name for name in options.model_fields_set if name not in _FOR_ANY_SITTING]
    given += list(flags)
    if given:
        raise UserError(
            f"--{given[0]} does not go with --resume: a sweep goes on as it was planned; leave it "
            "out, or start another sweep with --name"
        )


def opened(
    path: Path,
    plan: Plan | None,
    lock: RunLock,
    complete: Callable[[Plan], Plan] = lambda plan: plan,
) -> SweepFolder:
    """Locks a sweep's folder, and makes it for a new plan; None stands for the plan in there.

    `complete` adds what a new plan has to measure; it is called as late as it can be.

    Raises: UserError for a folder with another plan or none, or that another process sweeps.
    """
    is_new = not isfile(path / PLAN)
    if is_new and plan is None:
        raise UserError(
            f"{path}: has no {PLAN}: name the folder of a sweep, such as sweeps/default"
        )
    if is_new:
        check_writable(path)
        if _is_in_use(path):
            raise UserError(f"{path}: is in use for something else: give another `name`")
    saved = complete(plan) if is_new and plan is not None else load(path / PLAN)
    if plan is not None:
        check_same(plan, saved, path)
    _lock(path, lock)
    if is_new and isfile(path / PLAN):  # another process has made it in between
        return opened(path, plan, lock)
    if is_new:
        save(saved, path / PLAN)
    return SweepFolder(path, saved)


def _is_in_use(path: Path) -> bool:
    """Whether a folder has more than what a sweep leaves that was killed before it had a plan."""
    names = [file.name for file in path.iterdir()] if path.exists() else []
    return any(name != LOCK.name and not name.endswith(".tmp") for name in names)


def _lock(path: Path, lock: RunLock) -> None:
    if (holder := holder_of(path)) is not None:
        raise UserError(f"{path}: {holder} is running this sweep: stop it, or wait for its end")
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock.take(path)
    except OSError as error:
        raise UserError(
            f"{path}: cannot write here ({error.strerror}): give another `sweeps_dir`"
        ) from None
