import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch import Tensor

from transformer.storage.run_folder import BEST, LAST, PREVIOUS
from transformer.system.files import link_or_copy, replacing
from transformer.training.callbacks.after_batch import AfterBatch
from transformer.training.callbacks.agreement import Agreement
from transformer.training.lightning_internals import between_steps, logs_now, validates_now
from transformer.training.lightning_module import LanguageModule
from transformer.training.loggers import RunLogger
from transformer.training.ranks import of_rank_0

log = logging.getLogger(__name__)

# Python and torch raise these if the disk is full or the folder is gone.
WRITE_ERRORS = (OSError, RuntimeError)
WORST = (float("inf"), float("inf"))  # monitor and val_loss


class RunCheckpointIO(TorchCheckpointIO):
    """Writes to a temporary file and renames it when it is complete; loads without running code.

    The old last.ckpt becomes previous.ckpt. If a file cannot be written, `error` holds the
    exception (None after a success). It is not raised: other ranks would wait for this one forever.
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

    def link_checkpoint(self, best: Path, last: Path, step: int) -> None:
        """Makes `last` the same file as `best`, which was just written; copies where links fail."""
        self.error = None
        try:
            with replacing(last, last.with_name(PREVIOUS.name)) as temporary:
                link_or_copy(best, temporary)
        except WRITE_ERRORS as error:
            self.error = error
            warn_of_full_disk(step, last, error)

    def load_checkpoint(
        self, path: Any, map_location: Any = "cpu", weights_only: Any = True
    ) -> dict[str, Any]:
        return torch.load(path, map_location=map_location, weights_only=True)


@runtime_checkable  # the tests check types with beartype
class Keeper(Protocol):
    """Looks after the run's folder: `keep` makes it again if it is gone.

    `begin` is called when training begins, in a resumed run after its checkpoint was restored.
    """

    def begin(self) -> None: ...

    def keep(self, step: int) -> bool: ...

    def has_weights(self) -> bool: ...


class RunCheckpoints(AfterBatch, Checkpoint):
    """Saves last.ckpt at every validation, and `every_minutes` between two steps.

    If `monitor` has a new minimum, it saves best.ckpt and the weights, too; if `monitor` equals the
    minimum, val_loss decides. `save_weights(step, val_loss, weights)` writes the model file.
    """

    def __init__(
        self,
        folder: Path,
        io: RunCheckpointIO,
        agreement: Agreement,
        save_weights: Callable[[int, float, Mapping[str, Tensor]], None],
        monitor: str = "val_loss",
        every_minutes: float = float("inf"),
        keeper: Keeper | None = None,
    ) -> None:
        self.last = folder / LAST
        self.best = folder / BEST
        self.io = io
        self.keeper = keeper
        self.agreement = agreement
        agreement.ask("save", lambda: time.monotonic() - self._saved_at >= self.every_seconds)
        self.save_weights = save_weights
        self.monitor = monitor
        self.every_seconds = 60 * every_minutes
        self.lowest = WORST
        self.best_step = 0
        self.saved_step = -1  # of the last `save`
        self._saved_at = time.monotonic()

    def save(self, trainer: pl.Trainer, *, is_best: bool = False) -> None:
        """Logs and flushes the curves up to this step, then writes last.ckpt.

        So a resumed run has these curves. After a training step, this callback runs before the
        module logs the step, so the step is logged here.
        """
        self._keep_folder(trainer)
        module = trainer.lightning_module
        if isinstance(module, LanguageModule) and trainer.training and logs_now(trainer):
            module.log_training()
        for logger in trainer.loggers:
            logger.save()
        if not is_best:
            trainer.save_checkpoint(self.last)
        elif trainer.is_global_zero:  # best.ckpt was just written with the same state
            self.io.link_checkpoint(self.best, self.last, trainer.global_step)
        self.saved_step, self._saved_at = trainer.global_step, time.monotonic()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._saved_at = time.monotonic()
        if trainer.is_global_zero and self.keeper:
            self.keeper.begin()

    def after_batch(self, trainer: pl.Trainer, batch: Any) -> None:
        """Not in the middle of a step, and not before a validation, which saves anyway."""
        if between_steps(trainer) and not validates_now(trainer) and self.agreement.answers["save"]:
            self.save(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Saves best.ckpt first: a run killed in between resumes before both and repeats both."""
        self._keep_folder(trainer)
        lost = self.keeper is not None and not self.keeper.has_weights()
        if self.best_step and of_rank_0(trainer, lost):
            self.lowest = WORST  # so that the weights are written again
        val_loss = float(trainer.callback_metrics["val_loss"])
        reached = (float(trainer.callback_metrics[self.monitor]), val_loss)
        is_best = reached < self.lowest
        if is_best:
            before = self.lowest, self.best_step
            self.lowest, self.best_step = reached, trainer.global_step
            is_best = self._save_best(trainer, val_loss)
            if not is_best:
                self.lowest, self.best_step = before  # this one was not saved
        self.save(trainer, is_best=is_best)

    def _save_best(self, trainer: pl.Trainer, val_loss: float) -> bool:
        module = trainer.lightning_module
        assert isinstance(module, LanguageModule)
        trainer.save_checkpoint(self.best)
        saved = self.io.error is None
        weights = module.weights_to_save()
        if saved and trainer.is_global_zero:
            try:
                self.save_weights(trainer.global_step, val_loss, weights)
            except WRITE_ERRORS as error:
                saved = False
                warn_of_full_disk(trainer.global_step, "the best weights", error)
        return of_rank_0(trainer, saved)

    def _keep_folder(self, trainer: pl.Trainer) -> None:
        if trainer.is_global_zero and self.keeper and self.keeper.keep(trainer.global_step):
            for logger in trainer.loggers:
                if isinstance(logger, RunLogger):
                    logger.reopen()

    def state_dict(self) -> dict[str, Any]:
        return {"lowest": self.lowest, "best_step": self.best_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.lowest = tuple(state_dict["lowest"])
        self.best_step = state_dict["best_step"]


def warn_of_full_disk(step: int, what: str | Path, error: Exception) -> None:
    log.warning(
        "step %s: %s could not be saved (%s): free some disk space; earlier files are kept, and "
        "the run continues and tries again",
        f"{step:,}",
        what,
        write_error(error),
    )


def write_error(error: BaseException) -> str:
    """The operating system's message, even if torch has wrapped it in its own error."""
    hidden: BaseException | None = error
    while hidden is not None and not isinstance(hidden, OSError):
        hidden = hidden.__context__
    return getattr(hidden, "strerror", None) or str(hidden or error).splitlines()[0]
