"""Ctrl+C and termination end a run between two steps, with last.ckpt saved; ranks end together."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytorch_lightning as pl
from torch import distributed

from transformer.errors import UserError
from transformer.training.callbacks.after_batch import AfterBatch
from transformer.training.callbacks.agreement import Agreement
from transformer.training.callbacks.checkpoints import RunCheckpoints
from transformer.training.loop_state import between_steps, validates_now

SECONDS_FOR_RANK_0 = 3.0
# Of a rank that is gone, that never came, that is silent.
GLOO_SAYS = ("by peer", "Broken pipe", "connectFullMesh failed", "Timed out waiting")


class Interrupted(Exception):
    """The run was asked to end by `signal_number`, and `saved` says whether last.ckpt could be."""

    def __init__(self, signal_number: int, saved: bool) -> None:
        super().__init__(signal.Signals(signal_number).name)
        self.exit_status = 128 + signal_number
        self.saved = saved


class Interruption(AfterBatch):
    """Saves and raises Interrupted after the step in which a signal came.

    Where a validation follows on that step, after the validation, which saves: a resumed run does
    not go back to it. A second signal ends the process at once. SIGUSR1 is what SLURM's
    --signal=USR1@120 sends before it ends a job. One that any rank received ends all of them.
    """

    SIGNALS = tuple(
        getattr(signal, name)
        for name in ("SIGINT", "SIGTERM", "SIGUSR1")  # the last is not on Windows
        if hasattr(signal, name)
    )

    def __init__(self, checkpoints: RunCheckpoints, agreement: Agreement) -> None:
        self.checkpoints = checkpoints
        self.agreement = agreement
        self._received = 0
        self._previous: dict[int, Any] = {}
        agreement.ask("signal", lambda: self._received)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for number in self.SIGNALS:
            self._previous[number] = signal.signal(number, self._receive)

    def after_batch(self, trainer: pl.Trainer, batch: Any) -> None:
        if between_steps(trainer) and not validates_now(trainer) and self._asked:
            self.checkpoints.save(trainer)
            self._end()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self.checkpoints.saved_step == trainer.global_step and self._asked:
            self._end()

    @property
    def _asked(self) -> int:
        """The signal's number, or 0."""
        return int(self.agreement.answers["signal"])

    def _end(self) -> None:
        raise Interrupted(self._asked, self.checkpoints.io.error is None)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._restore()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        self._restore()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self._received:
            os._exit(128 + number)
        self._received = number

    def _restore(self) -> None:
        while self._previous:
            signal.signal(*self._previous.popitem())


@contextmanager
def ended_together(trainer: pl.Trainer) -> Iterator[None]:
    """An error in one process ends all of them; torchrun and SLURM see to it, and here this does.

    What all ranks run into, rank 0 says: the others wait a little, and are ended by then.

    Raises: UserError where the error is that another process was lost, which has said why.
    """
    try:
        yield
    except BaseException as error:
        if trainer.global_rank > 0:
            time.sleep(SECONDS_FOR_RANK_0)
        else:
            _end_others(trainer)
        if is_lost_connection(error):
            raise UserError(
                "another process of this run has ended, and this one with it: its message is "
                "above; without one it was killed, as where memory runs out. To go on: `resume`"
            ) from None
        if isinstance(error, SystemExit) and isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None  # Lightning makes an exit with status 1 of it
        raise


def _end_others(trainer: pl.Trainer) -> None:
    """Those that this one has started. Lightning's observer, which would end this one too where it
    finds one of its list that has ended, finds none.
    """
    processes = getattr(trainer.strategy.launcher, "procs", [])
    others = list(processes)
    processes.clear()
    for process in others:
        process.kill()


def is_lost_connection(error: BaseException) -> bool:
    """Whether a message from another rank did not come: gloo's words, and NCCL's type."""
    from_gloo = isinstance(error, RuntimeError) and any(words in str(error) for words in GLOO_SAYS)
    return from_gloo or isinstance(error, distributed.DistError)
