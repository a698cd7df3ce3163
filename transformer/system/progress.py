"""A progress bar for what takes more than a second. Imports no torch."""

from typing import Any

from transformer.system.processes import is_rank_0


def progress(what: str, total: int, unit: str = "B") -> Any:
    """A bar of tqdm with speed and time left, on a terminal alone; `update` it by its unit."""
    from tqdm import tqdm  # most texts are read before it would be imported

    return tqdm(
        total=total,
        desc=what,
        unit=unit,
        unit_scale=True,
        delay=1,
        disable=None if is_rank_0() else True,  # None: unless there is no terminal
        leave=False,
    )
