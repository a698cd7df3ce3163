"""Checks the places that sweep.py's flags name, before anything is written. No torch."""

import os
from os.path import exists, isdir
from pathlib import Path

from transformer.system.errors import UserError


def check_folder(path: str) -> None:
    """Raises: UserError if --resume names a file, or nothing."""
    if not path or (exists(path) and not isdir(path)):
        problem = "is a file" if path else "is empty"
        raise UserError(
            f"--resume {path or repr(path)}: {problem}: give the folder of a sweep, such as "
            "sweeps/default"
        )


def check_new(folder: Path) -> None:
    """Raises: UserError, with the flag to correct, if a sweep cannot have this folder."""
    home = folder.parent
    above = next(path for path in (home.absolute(), *home.absolute().parents) if exists(path))
    if not above.is_dir():
        raise UserError(f"--sweeps_dir {home}: {above} is a file, not a folder: give another")
    if exists(folder) and not folder.is_dir():
        raise UserError(f"{folder}: is a file, not a folder: give another `name`")
    if not os.access(folder if exists(folder) else above, os.W_OK):
        raise UserError(f"--sweeps_dir {home}: cannot write in {above}: give another")
