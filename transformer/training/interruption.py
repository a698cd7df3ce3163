"""Ctrl+C and termination end a run between two steps, with last.ckpt saved."""

import signal
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl


class Interrupted(Exception):
    """The run was asked to end by `signal_number`; last.ckpt holds the step it reached."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal.Signals(signal_number).name)
        self.exit_status = 128 + signal_number


class Interruption(pl.Callback):
    """Saves `last` and raises Interrupted after the step in which a signal came.

    A second signal acts as it would without us, at once.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self, last: Path) -> None:
        self.last = last
        self._received: int | None = None
        self._previous: dict[int, Any] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for number in self.SIGNALS:
            self._previous[number] = signal.signal(number, self._receive)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        if trainer.world_size > 1:  # all save together, or none
            self._received = trainer.strategy.broadcast(self._received)
        if self._received is not None:
            trainer.save_checkpoint(self.last)
            raise Interrupted(self._received)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._restore()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self._received = number
        self._restore()

    def _restore(self) -> None:
        while self._previous:
            signal.signal(*self._previous.popitem())
