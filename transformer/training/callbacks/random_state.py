"""A resumed run continues with the random numbers that would have come next."""

from typing import Any

import pytorch_lightning as pl
import torch

from transformer.training.ranks import of_all_ranks


class RandomState(pl.Callback):
    """Saves the random generator states of all ranks in each checkpoint; dropout uses them.

    Rank 0 uses the run's seed. Other ranks get seeds of their own at the start, as does a rank of a
    resumed run that has no state in the checkpoint.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._restored: list[dict[str, Any]] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        rank = trainer.global_rank
        if rank < len(self._restored):
            state = self._restored[rank]
            torch.set_rng_state(state["cpu"])
            if state["cuda"] is not None and torch.cuda.is_available():
                torch.cuda.set_rng_state(state["cuda"])
        elif rank:
            torch.manual_seed(rank << 32 | (self.seed + trainer.global_step) % 2**32)
        self._restored = []

    def state_dict(self) -> dict[str, Any]:
        """All ranks must call this together."""
        cuda = torch.cuda.get_rng_state() if torch.cuda.is_available() else None
        return {"ranks": of_all_ranks({"cpu": torch.get_rng_state(), "cuda": cuda})}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._restored = list(state_dict["ranks"])
