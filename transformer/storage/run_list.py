"""Finds all runs below a folder, at any depth. No torch."""

import os
from pathlib import Path

from transformer.storage.run_folder import CONFIG


def runs_below(folder: str | Path) -> list[Path]:
    """The folders with a config.yaml, by name; the folder itself may be one. Links are not
    followed, and nothing is looked for inside a run.
    """
    found = []
    for path, folders, files in os.walk(folder):
        folders.sort()
        if CONFIG.name in files:
            found.append(Path(path))
            folders.clear()
    return found
