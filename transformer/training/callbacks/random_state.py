"""Random numbers go on in a resumed run where they stood when its checkpoint was written."""

from typing import Any

import pytorch_lightning as pl
import torch

from transformer.training.ranks import of_all_ranks


class RandomState(pl.Callback):
    """Keeps the states of every rank's generators, which draw dropout, in each checkpoint.

    Rank 0 draws on from the seed that the run began with, the others from seeds of their own.
    So does, in a resumed run, a rank that had none before.
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
        """Of all ranks, which all ask for it at once."""
        cuda = torch.cuda.get_rng_state() if torch.cuda.is_available() else None
        return {"ranks": of_all_ranks({"cpu": torch.get_rng_state(), "cuda": cuda})}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._restored = list(state_dict["ranks"])
