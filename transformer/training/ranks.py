"""What each of a run's processes has, gathered."""

from typing import Any

from torch import distributed


def of_all_ranks(own: Any) -> list[Any]:
    """What each rank has, by rank; all ask at once."""
    if not distributed.is_available() or not distributed.is_initialized():
        return [own]
    gathered: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(gathered, own)
    return gathered
