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
# gloo's messages about a rank that has ended, that never connected, or that does not answer.
GLOO_SAYS = ("by peer", "Broken pipe", "connectFullMesh failed", "Timed out waiting")


class Interruption(AfterBatch):
    """Saves last.ckpt and raises Interrupted after the step during which a signal arrived.

    If a validation follows that step, it runs first and saves; the resumed run then does not repeat
    it. A signal to any rank ends all ranks.
    """

    def __init__(self, checkpoints: RunCheckpoints, agreement: Agreement, signals: Signals) -> None:
        self.checkpoints = checkpoints
        self.agreement = agreement
        agreement.ask("signal", lambda: signals.received)

    def after_batch(self, trainer: pl.Trainer, batch: Any) -> None:
        if between_steps(trainer) and not validates_now(trainer) and self._asked:
            self.checkpoints.save(trainer)
            raise Interrupted(self._asked)

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any, **__: Any) -> None:
        if self.checkpoints.saved_step == trainer.global_step and self._asked:
            raise Interrupted(self._asked)

    @property
    def _asked(self) -> int:
        return int(self.agreement.answers["signal"])


@contextmanager
def ended_together(trainer: pl.Trainer) -> Iterator[None]:
    """Ends all processes after an error in one of them, as torchrun and SLURM do.

    Other ranks wait while rank 0 kills them, so an error that all ranks have is printed once.

    Raises: UserError if another process was lost; that process has printed the cause.
    """
    try:
        yield
    except BaseException as error:
        if trainer.global_rank > 0:
            time.sleep(SECONDS_FOR_RANK_0)
        else:
            processes = started_processes(trainer)
            while processes:  # Lightning's observer ends this process if one in its list has ended
                processes.pop().kill()
        if is_lost_connection(error):
            raise UserError(
                "another process of this run has ended, so this one ends, too: see its message "
                "above. If there is none, it was killed, for example because memory ran out. To "
                "continue: `resume`"
            ) from None
        if isinstance(error, SystemExit) and isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None  # Lightning turned it into SystemExit(1)
        raise


def is_lost_connection(error: BaseException) -> bool:
    """Recognizes a lost rank by gloo's messages or by NCCL's type of error."""
    from_gloo = isinstance(error, RuntimeError) and any(words in str(error) for words in GLOO_SAYS)
    return from_gloo or isinstance(error, distributed.DistError)
