from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import EarlyStopping

from transformer.training.callbacks.after_batch import AfterBatch
from transformer.training.callbacks.agreement import Agreement
from transformer.training.callbacks.throughput import Throughput
from transformer.training.estimates import PASSES_PER_TRAINING_STEP
from transformer.training.lightning_internals import between_steps


class LastStep(AfterBatch):
    """Stops with should_stop, because Lightning then validates after the last step, too."""

    def after_batch(self, trainer: pl.Trainer, batch: Any) -> None:
        if trainer.global_step >= trainer.max_steps:
            trainer.should_stop = True


class WholeSteps(AfterBatch):
    """Delays a stop that is requested during gradient accumulation to the end of the step.

    Otherwise the batches of that step would be read but never used. It must come after all other
    callbacks that may stop a run.
    """

    def __init__(self) -> None:
        self._put_off = False

    def after_batch(self, trainer: pl.Trainer, batch: Any) -> None:
        if between_steps(trainer):
            trainer.should_stop = trainer.should_stop or self._put_off
            self._put_off = False
        elif trainer.should_stop:
            trainer.should_stop, self._put_off = False, True


class TimeLimit(AfterBatch):
    """Stops training in time for the whole run to take `max_minutes`.

    After the last step come the forward passes of `tokens_afterwards` tokens (validation, sample),
    whose time is estimated from the training speed so far, and saving. At the start and after each
    batch, `spend` gets the share of the time between the first and the last step that is used up,
    over all resumes; the learning-rate schedule depends on it.
    """

    SAVING_SECONDS = 1.0

    def __init__(
        self,
        max_minutes: float,
        throughput: Throughput,
        agreement: Agreement,
        tokens_afterwards: Callable[[], float],
        spend: Callable[[float], None],
    ) -> None:
        self.max_seconds = 60 * max_minutes
        self.throughput = throughput
        self.tokens_afterwards = tokens_afterwards
        self.spend = spend
        self.agreement = agreement
        agreement.ask("time", lambda: throughput.elapsed_seconds / self._step_seconds)
        agreement.ask("began", lambda: (throughput.began_seconds or 0.0) / self._step_seconds)

    @property
    def seconds_left(self) -> float:
        return self._step_seconds - self.throughput.elapsed_seconds

    @property
    def _step_seconds(self) -> float:
        afterwards = self.SAVING_SECONDS
        if self.throughput.tokens_per_second:  # not known before the first logging
            forward = PASSES_PER_TRAINING_STEP * self.throughput.tokens_per_second
            afterwards += self.tokens_afterwards() / forward
        # However short the limit is, half of it is left for steps.
        return max(self.max_seconds - afterwards, self.max_seconds / 2)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.agreement.agree()
        self.spend(self.share_of_steps)

    def after_batch(self, trainer: pl.Trainer, batch: Any) -> None:
        self.spend(self.share_of_steps)
        if self.share >= 1:
            trainer.should_stop = True

    @property
    def share(self) -> float:
        """The used share of the time until the last step, as all ranks last agreed; 1 there."""
        return min(1.0, self.agreement.answers["time"])

    @property
    def share_of_steps(self) -> float:
        """The same since the first step: what came before it takes nothing from a schedule."""
        began = self.agreement.answers["began"]
        return 1.0 if self.share >= 1 else max(0.0, (self.share - began) / (1 - began))


class Patience(EarlyStopping):
    """Ends a run after `patience` validations in a row without a lower `monitor`.

    In a resumed run, a new --patience replaces the checkpoint's.
    """

    def __init__(self, monitor: str, patience: int) -> None:
        super().__init__(monitor, patience=patience, mode="min")

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict | {"patience": self.patience})
