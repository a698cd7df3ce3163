"""What ends a run: its last step, a limit of time, no more improvement."""

from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import EarlyStopping

from transformer.training.callbacks.after_batch import AfterBatch
from transformer.training.callbacks.agreement import Agreement
from transformer.training.callbacks.throughput import Throughput
from transformer.training.estimates import PASSES_PER_TRAINING_STEP


class LastStep(AfterBatch):
    """Stops by asking to, so that Lightning validates after the very last step too."""

    def after_batch(self, trainer: pl.Trainer, batch: Any) -> None:
        if trainer.global_step >= trainer.max_steps:
            trainer.should_stop = True


class TimeLimit(AfterBatch):
    """Ends a run so that all of it, what comes after the last step included, takes `max_minutes`.

    What comes after is the forward passes of `tokens_afterwards` tokens (validation, sample), timed
    by the speed of training so far, and saving. `spend` is told at each step the share of the time
    for steps that is spent, which the schedule follows to its end.
    """

    SAVING_SECONDS = 1.0

    def __init__(
        self,
        max_minutes: float,
        throughput: Throughput,
        agreement: Agreement,
        tokens_afterwards: float,
        spend: Callable[[float], None],
    ) -> None:
        self.max_seconds = 60 * max_minutes
        self.throughput = throughput
        self.tokens_afterwards = tokens_afterwards
        self.spend = spend
        self.agreement = agreement
        agreement.ask("time", lambda: throughput.elapsed_seconds / self._step_seconds)

    @property
    def seconds_left(self) -> float:
        """For steps."""
        return self._step_seconds - self.throughput.elapsed_seconds

    @property
    def _step_seconds(self) -> float:
        afterwards = self.SAVING_SECONDS
        if self.throughput.tokens_per_second:  # not known before the first logging
            forward = PASSES_PER_TRAINING_STEP * self.throughput.tokens_per_second
            afterwards += self.tokens_afterwards / forward
        # A limit too short for what comes after still leaves half of itself for steps.
        return max(self.max_seconds - afterwards, self.max_seconds / 2)

    def after_batch(self, trainer: pl.Trainer, batch: Any) -> None:
        share = self.agreement.answers["time"]
        self.spend(min(1.0, share))
        if share >= 1:
            trainer.should_stop = True


class Patience(EarlyStopping):
    """Ends a run after so many validations in a row without a lower `monitor`.

    Of a resumed run the patience that was given anew counts, not that of its checkpoint.
    """

    def __init__(self, monitor: str, patience: int) -> None:
        super().__init__(monitor, patience=patience, mode="min")

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict | {"patience": self.patience})
