from typing import Any

import pytorch_lightning as pl
from torch import distributed


def of_all_ranks(own: Any) -> list[Any]:
    """Returns the values of all ranks, in order; all ranks must call this together."""
    if not distributed.is_available() or not distributed.is_initialized():
        return [own]
    gathered: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(gathered, own)
    return gathered


def of_rank_0(trainer: pl.Trainer, own: Any) -> Any:
    """Returns rank 0's value on all ranks, which must call this together."""
    return trainer.strategy.broadcast(own) if trainer.world_size > 1 else own
