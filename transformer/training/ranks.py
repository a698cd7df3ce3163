from typing import Any

from torch import distributed


def of_all_ranks(own: Any) -> list[Any]:
    """Returns the values of all ranks, in order; all ranks must call this together."""
    if not distributed.is_available() or not distributed.is_initialized():
        return [own]
    gathered: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(gathered, own)
    return gathered
