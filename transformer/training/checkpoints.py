"""Checkpoints of a run, whole or not at all: last.ckpt, best.ckpt and the best weights."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO

from transformer.files import replacing


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes to a temporary file that is renamed once it is whole; loads without running code."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        with replacing(path) as temporary:
            torch.save(checkpoint, temporary)

    def load_checkpoint(
        self, path: Any, map_location: Any = "cpu", weights_only: Any = True
    ) -> dict[str, Any]:
        return torch.load(path, map_location=map_location, weights_only=True)


class RunCheckpoints(Checkpoint):
    """Saves `last` at every validation; where `monitor` is lowest so far, `best` and the weights.

    Of equals the one with the lower val_loss. `save_weights(step, val_loss)` writes the file to
    use and share.
    """

    def __init__(
        self,
        last: Path,
        best: Path,
        save_weights: Callable[[int, float], None],
        monitor: str = "val_loss",
    ) -> None:
        self.last = last
        self.best = best
        self.save_weights = save_weights
        self.monitor = monitor
        self.lowest = (float("inf"), float("inf"))  # monitor and val_loss
        self.best_step = 0

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.sanity_checking:
            return
        val_loss = float(trainer.callback_metrics["val_loss"])
        reached = (float(trainer.callback_metrics[self.monitor]), val_loss)
        improved = reached < self.lowest
        if improved:
            self.lowest, self.best_step = reached, trainer.global_step
        trainer.save_checkpoint(self.last)
        if improved and trainer.is_global_zero:
            with replacing(self.best) as temporary:
                shutil.copyfile(self.last, temporary)
            self.save_weights(trainer.global_step, val_loss)

    def state_dict(self) -> dict[str, Any]:
        return {"lowest": self.lowest, "best_step": self.best_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.lowest = tuple(state_dict["lowest"])
        self.best_step = state_dict["best_step"]
