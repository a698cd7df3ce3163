"""One progress bar for the whole run: steps, losses, speed, time left."""

import sys
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ProgressBar
from tqdm import tqdm

from transformer.training.callbacks.after_batch import AfterBatch
from transformer.training.estimates import ENDLESS_STEPS
from transformer.training.lightning_internals import logs_now


class RunProgressBar(AfterBatch, ProgressBar):
    """Shown on a terminal only; updated when losses are logged, so that no step waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self._bar: tqdm | None = None

    def disable(self) -> None:
        self._bar = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._bar = tqdm(
            total=trainer.max_steps if trainer.max_steps < ENDLESS_STEPS else None,
            initial=trainer.global_step,
            desc="training",
            unit=" steps",
            dynamic_ncols=True,
            disable=not (sys.stderr.isatty() and trainer.is_global_zero),
            leave=False,
        )

    def after_batch(self, trainer: pl.Trainer, batch: Any) -> None:
        if self._bar is None or self._bar.disable or not logs_now(trainer):
            return
        metrics = trainer.callback_metrics
        formats = {"train_loss": "z.3f", "val_loss": "z.3f", "tokens_per_second": ",.0f"}
        known = {n: f"{metrics[n]:{form}}" for n, form in formats.items() if n in metrics}
        self._bar.set_postfix(known, refresh=False)
        self._bar.update(trainer.global_step - self._bar.n)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if self._bar is not None:
            self._bar.close()
