"""Ctrl+C and termination end a run between two steps, with last.ckpt saved; ranks end together."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
from torch import distributed

from transformer.system.errors import UserError
from transformer.system.signals import Interrupted, Signals
from transformer.training.callbacks.after_batch import AfterBatch
from transformer.training.callbacks.agreement import Agreement
from transformer.training.callbacks.checkpoints import RunCheckpoints
from transformer.training.lightning_internals import between_steps, started_processes, validates_now

SECONDS_FOR_RANK_0 = 3.0
# Of a rank that is gone, that never came, that is silent.
GLOO_SAYS = ("by peer", "Broken pipe", "connectFullMesh failed", "Timed out waiting")


class Interruption(AfterBatch):
    """Saves and raises Interrupted after the step in which a signal came.

    Where a validation follows on that step, after the validation, which saves: a resumed run does
    not go back to it. A signal that any rank received ends all of them.
    """

    def __init__(self, checkpoints: RunCheckpoints, agreement: Agreement, signals: Signals) -> None:
        self.checkpoints = checkpoints
        self.agreement = agreement
        agreement.ask("signal", lambda: signals.received)

    def after_batch(self, trainer: pl.Trainer, batch: Any) -> None:
        if between_steps(trainer) and not validates_now(trainer) and self._asked:
            self.checkpoints.save(trainer)
            raise Interrupted(self._asked)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self.checkpoints.saved_step == trainer.global_step and self._asked:
            raise Interrupted(self._asked)

    @property
    def _asked(self) -> int:
        """The signal's number, or 0."""
        return int(self.agreement.answers["signal"])


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
    processes = started_processes(trainer)
    others = list(processes)
    processes.clear()
    for process in others:
        process.kill()


def is_lost_connection(error: BaseException) -> bool:
    """Whether a message from another rank did not come: gloo's words, and NCCL's type."""
    from_gloo = isinstance(error, RuntimeError) and any(words in str(error) for words in GLOO_SAYS)
    return from_gloo or isinstance(error, distributed.DistError)
