"""Ctrl+C and termination end a run between two steps, with last.ckpt saved."""

import os
import signal
from types import FrameType
from typing import Any

import pytorch_lightning as pl

from transformer.training.checkpoints import RunCheckpoints
from transformer.training.loop_state import between_steps, validates_now


class Interrupted(Exception):
    """The run was asked to end by `signal_number`, and `saved` says whether last.ckpt could be."""

    def __init__(self, signal_number: int, saved: bool) -> None:
        super().__init__(signal.Signals(signal_number).name)
        self.exit_status = 128 + signal_number
        self.saved = saved


class Interruption(pl.Callback):
    """Saves and raises Interrupted after the step in which a signal came.

    Where a validation follows on that step, after the validation, which saves: a resumed run does
    not go back to it. A second signal ends the process at once. SIGUSR1 is what SLURM's
    --signal=USR1@120 sends before it ends a job.
    """

    SIGNALS = tuple(
        getattr(signal, name)
        for name in ("SIGINT", "SIGTERM", "SIGUSR1")  # the last is not on Windows
        if hasattr(signal, name)
    )

    def __init__(self, checkpoints: RunCheckpoints) -> None:
        self.checkpoints = checkpoints
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
        if between_steps(trainer) and not validates_now(trainer) and self._asked(trainer):
            self.checkpoints.save(trainer)
            self._end()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self.checkpoints.saved_step == trainer.global_step and self._asked(trainer):
            self._end()

    def _asked(self, trainer: pl.Trainer) -> bool:
        if trainer.world_size > 1:  # all end together, or none
            self._received = trainer.strategy.broadcast(self._received)
        return self._received is not None

    def _end(self) -> None:
        assert self._received is not None
        raise Interrupted(self._received, self.checkpoints.io.error is None)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._restore()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        self._restore()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self._received is not None:
            os._exit(128 + number)
        self._received = number

    def _restore(self) -> None:
        while self._previous:
            signal.signal(*self._previous.popitem())
