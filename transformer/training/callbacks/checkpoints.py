"""The checkpoints of a run, whole or not at all: last.ckpt, best.ckpt and the best weights."""

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch import Tensor

from transformer.files import replacing
from transformer.runs import BEST, LAST, PREVIOUS
from transformer.training.callbacks.after_batch import AfterBatch
from transformer.training.callbacks.agreement import Agreement
from transformer.training.lightning_module import LanguageModule
from transformer.training.loggers import flush
from transformer.training.loop_state import between_steps, logs_now, validates_now

log = logging.getLogger(__name__)

# What a full disk, or a folder that is gone, raises from Python and from torch.
WRITE_ERRORS = (OSError, RuntimeError)


class RunCheckpointIO(TorchCheckpointIO):
    """Writes to a temporary file that is renamed once it is whole; loads without running code.

    What last.ckpt was becomes previous.ckpt. A file that cannot be written is an `error`, None
    where the last one could be, and not raised: other ranks would wait for this one forever.
    """

    def __init__(self) -> None:
        super().__init__()
        self.error: Exception | None = None

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        self.error = None
        path = Path(path)
        previous = path.with_name(PREVIOUS.name) if path.name == LAST.name else None
        try:
            with replacing(path, previous) as temporary, open(temporary, "wb") as file:
                torch.save(checkpoint, file)
        except WRITE_ERRORS as error:
            self.error = error
            warn_of_full_disk(checkpoint["global_step"], path, error)

    def load_checkpoint(
        self, path: Any, map_location: Any = "cpu", weights_only: Any = True
    ) -> dict[str, Any]:
        return torch.load(path, map_location=map_location, weights_only=True)


class RunCheckpoints(AfterBatch, Checkpoint):
    """Saves last.ckpt at every validation and `every_minutes`, between two steps.

    Where `monitor` is lowest so far, best.ckpt and the weights too; of equals the one with the
    lower val_loss. `save_weights(step, val_loss, weights)` writes the file to use and share.
    """

    def __init__(
        self,
        folder: Path,
        io: RunCheckpointIO,
        agreement: Agreement,
        save_weights: Callable[[int, float, Mapping[str, Tensor]], None],
        monitor: str = "val_loss",
        every_minutes: float = float("inf"),
    ) -> None:
        self.last = folder / LAST
        self.best = folder / BEST
        self.io = io
        self.agreement = agreement
        agreement.ask("save", self._is_due)
        self.save_weights = save_weights
        self.monitor = monitor
        self.every_seconds = 60 * every_minutes
        self.lowest = (float("inf"), float("inf"))  # monitor and val_loss
        self.best_step = 0
        self.saved_step = -1  # where `save` was called last
        self._saved_at = time.monotonic()

    def save(self, trainer: pl.Trainer) -> None:
        """Writes last.ckpt, and before it what the loggers hold: a resumed run has those curves.

        At the end of a training step, the module has not logged it yet, so that comes first.
        """
        module = trainer.lightning_module
        if isinstance(module, LanguageModule) and trainer.training and logs_now(trainer):
            module.log_training()
        flush(trainer)
        trainer.save_checkpoint(self.last)
        self.saved_step, self._saved_at = trainer.global_step, time.monotonic()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._saved_at = time.monotonic()

    def after_batch(self, trainer: pl.Trainer, batch: Any) -> None:
        """Not in the middle of a step, nor where a validation, which saves, comes next."""
        if not between_steps(trainer) or validates_now(trainer):
            return
        if self.agreement.answers["save"]:
            self.save(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """What is best comes first: a run that is killed in between goes on from before both."""
        if trainer.sanity_checking:
            return
        val_loss = float(trainer.callback_metrics["val_loss"])
        reached = (float(trainer.callback_metrics[self.monitor]), val_loss)
        if reached < self.lowest:
            before = self.lowest, self.best_step
            self.lowest, self.best_step = reached, trainer.global_step
            if not self._save_best(trainer, val_loss):
                self.lowest, self.best_step = before  # so that the next better one is tried
        self.save(trainer)

    def _is_due(self) -> bool:
        return time.monotonic() - self._saved_at >= self.every_seconds

    def _save_best(self, trainer: pl.Trainer, val_loss: float) -> bool:
        module = trainer.lightning_module
        assert isinstance(module, LanguageModule)
        trainer.save_checkpoint(self.best)
        saved = self.io.error is None
        weights = module.whole_weights()
        if saved and trainer.is_global_zero:
            try:
                self.save_weights(trainer.global_step, val_loss, weights)
            except WRITE_ERRORS as error:
                saved = False
                warn_of_full_disk(trainer.global_step, "the best weights", error)
        return trainer.strategy.broadcast(saved) if trainer.world_size > 1 else saved

    def state_dict(self) -> dict[str, Any]:
        return {"lowest": self.lowest, "best_step": self.best_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.lowest = tuple(state_dict["lowest"])
        self.best_step = state_dict["best_step"]


def warn_of_full_disk(step: int, what: str | Path, error: Exception) -> None:
    log.warning(
        "step %s: %s could not be saved (%s): make room; what was saved before is kept, and the "
        "run goes on and tries again",
        f"{step:,}",
        what,
        write_error(error),
    )


def write_error(error: BaseException) -> str:
    """The system's own words, where torch has hidden them behind its own."""
    hidden: BaseException | None = error
    while hidden is not None and not isinstance(hidden, OSError):
        hidden = hidden.__context__
    return getattr(hidden, "strerror", None) or str(hidden or error).splitlines()[0]
