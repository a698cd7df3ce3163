from collections.abc import Callable

import pytorch_lightning as pl
import torch

from transformer.models.base import SequenceModel
from transformer.system.lean_imports import scoring
from transformer.training.lightning_internals import add_metrics
from transformer.training.lightning_module import LanguageModule
from transformer.training.loggers import log_scalars

OLD_VAL_LOSS = "old_val_loss"


class OldText(pl.Callback):
    """Logs the loss on the text of the model that the run started from: what it forgets.

    `score` computes it; `say` is told the loss before the first step.
    """

    def __init__(
        self, score: Callable[[SequenceModel], float], say: Callable[[float], None]
    ) -> None:
        self.score = score
        self.say = say

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.global_step == 0:
            loss = self._log(trainer, pl_module)
            if trainer.is_global_zero:
                self.say(loss)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.global_step:
            self._log(trainer, pl_module)

    def _log(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> float:
        assert isinstance(pl_module, LanguageModule)
        with scoring(pl_module.device.type):
            loss = self.score(pl_module.model)
        add_metrics(trainer, {OLD_VAL_LOSS: torch.tensor(loss)})
        log_scalars(trainer, {OLD_VAL_LOSS: loss})
        return loss
