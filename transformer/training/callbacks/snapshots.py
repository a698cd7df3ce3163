import logging
import math
from collections.abc import Callable
from os.path import isfile
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from transformer.storage.int8_rows import quantized
from transformer.storage.moments import crowded, is_due, spaced_by_loss
from transformer.storage.snapshots import (
    delete_snapshot,
    snapshot_path,
    snapshot_steps,
    write_snapshot,
)
from transformer.training.callbacks.after_batch import AfterBatch
from transformer.training.callbacks.checkpoints import WRITE_ERRORS, warn_of_full_disk
from transformer.training.lightning_internals import between_steps
from transformer.training.lightning_module import LanguageModule
from transformer.training.ranks import of_rank_0
from transformer.training.strategies import is_sharded

log = logging.getLogger(__name__)

# The loss of a snapshot is a mean in which a batch counts the less, the longer ago it was: over
# about the last tenth of the batches. One batch alone is too noisy to be spaced by.
_MEMORY = 10


class Snapshots(AfterBatch):
    """Keeps the model of `number` moments of a run, evenly spaced by train_loss; none with 0.

    The loss is not known before. So twice as many are kept during the training, at steps that
    depend on nothing but `number` and are evenly spaced by their logarithm, and they are thinned at
    the end. The first is the model before the first step, the last is the one after the last step.

    A resumed run deletes the snapshots after its checkpoint and makes them again. What it should
    keep is a part of the checkpoint: what was dropped after that is dropped again, and not missed.
    `is_there` tells whether the run's folder is there; `pause` stops its clock for speed.
    """

    def __init__(
        self, folder: Path, number: int, is_there: Callable[[], bool], pause: Callable[[], None]
    ) -> None:
        self.folder = folder
        self.number = number
        self.is_there = is_there
        self.pause = pause
        self.kept: dict[int, float] = {}  # step -> loss
        self._mean = torch.tensor(math.nan)  # on the device: reading it would wait for the device
        self._num_batches = 0
        self._untrained: dict[str, Tensor] | None = None  # until its loss is known
        self._has_ended = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._mean = self._mean.to(pl_module.device)
        if trainer.global_step and (self.number or self.kept):
            self._look_at_files(trainer)
        elif self.number:
            self._untrained = self._weights(trainer)

    def after_batch(self, trainer: pl.Trainer, batch: Any) -> None:
        if not self.number:
            return
        self._count(trainer)
        if not between_steps(trainer):
            return
        if self._untrained is not None:
            self._keep(trainer, 0, self._untrained)
            self._untrained = None
        if is_due(list(self.kept), trainer.global_step, self.number):
            self._keep(trainer, trainer.global_step, self._weights(trainer))

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not self.number:
            return
        if trainer.global_step > max(self.kept, default=-1):
            self._keep(trainer, trainer.global_step, self._weights(trainer))
        if trainer.is_global_zero:
            self._thin()
        self._has_ended = True

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """A run that was killed between its last checkpoint and its end has no step left.

        Sharded weights cannot be collected any longer here.
        """
        if self.number and not self._has_ended and not any(map(is_sharded, pl_module.parameters())):
            self._look_at_files(trainer)
            self.on_train_end(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        """Also without a number, if a resumed run has it no longer: it may have it again."""
        if not self.number and not self.kept:
            return {}
        return {
            "kept": list(self.kept.items()),
            "mean": float(self._mean),
            "num_batches": self._num_batches,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.kept = {int(step): float(loss) for step, loss in state_dict["kept"]}
        self._mean = torch.tensor(state_dict["mean"])
        self._num_batches = state_dict["num_batches"]

    def _count(self, trainer: pl.Trainer) -> None:
        """Adds the loss of this batch to the mean, if it is finite: otherwise no step was made."""
        module = trainer.lightning_module
        assert isinstance(module, LanguageModule)
        self._num_batches += 1
        loss = module.train_losses[-1].to(self._mean)
        share = min(1.0, _MEMORY / self._num_batches)
        mean = torch.where(self._mean.isfinite(), self._mean.lerp(loss, share), loss)
        self._mean = torch.where(loss.isfinite(), mean, self._mean)

    def _weights(self, trainer: pl.Trainer) -> dict[str, Tensor] | None:
        """On rank 0, as it would be exported; all ranks must call this together."""
        module = trainer.lightning_module
        assert isinstance(module, LanguageModule)
        self.pause()
        weights = module.weights_to_save()
        if not trainer.is_global_zero:
            return None
        try:
            return quantized(weights)
        except ValueError as error:
            log.warning("step %s: no snapshot: %s", f"{trainer.global_step:,}", error)
            return None

    def _keep(self, trainer: pl.Trainer, step: int, weights: dict[str, Tensor] | None) -> None:
        """Which steps are kept does not depend on whether a file could be written."""
        loss = float(self._mean)
        self.kept[step] = loss
        before = list(self.kept)
        while (dropped := crowded(list(self.kept), self.number)) is not None:
            del self.kept[dropped]
        if weights is None or not math.isfinite(loss) or not self.is_there():
            return
        try:
            write_snapshot(self.folder, step, loss, weights)
        except WRITE_ERRORS as error:
            warn_of_full_disk(step, snapshot_path(self.folder, step), error)
        for other in before:
            if other not in self.kept:
                delete_snapshot(self.folder, other)

    def _thin(self) -> None:
        there = [step for step in self.kept if isfile(snapshot_path(self.folder, step))]
        places = spaced_by_loss([self.kept[step] for step in there], self.number)
        chosen = {there[place] for place in places}
        for step in set(there) - chosen:
            delete_snapshot(self.folder, step)
        self.kept = {step: loss for step, loss in self.kept.items() if step in chosen}

    def _look_at_files(self, trainer: pl.Trainer) -> None:
        """Deletes the snapshots after the step of the checkpoint, and forgets those that are gone.

        If there are some after it, the run had gone on, and it makes these again: what it dropped
        in between is not forgotten, so that it drops the same again. If there are none, the
        training may have ended at this step: what was thinned then is gone for good.
        """
        if trainer.is_global_zero:
            now, found = trainer.global_step, snapshot_steps(self.folder)
            later = [step for step in found if step > now]
            for step in later:
                delete_snapshot(self.folder, step)
            if not later:
                self.kept = {step: loss for step, loss in self.kept.items() if step in found}
                if now in found:  # written after the last checkpoint, whose loss it has
                    self.kept.setdefault(now, float(self._mean))
        self.kept = of_rank_0(trainer, self.kept)  # all ranks must keep the same steps
