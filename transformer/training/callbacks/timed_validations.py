import math
import time
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl

from transformer.training.callbacks.after_batch import AfterBatch
from transformer.training.callbacks.agreement import Agreement
from transformer.training.callbacks.stopping import TimeLimit
from transformer.training.callbacks.throughput import Throughput
from transformer.training.estimates import PASSES_PER_TRAINING_STEP
from transformer.training.lightning_internals import (
    between_steps,
    reload_validation,
    validate_after_this_batch,
)
from transformer.training.validations import VALIDATION_SHARE, fewest_in, gap, part_of_split


class TimedValidations(AfterBatch):
    """Starts a validation, on all ranks, each time a certain share of the run has passed.

    The share is chosen so that validations take about a tenth of the time, and so that a run of a
    minute or more has at least ten. Before the first one, the training speed decides how many
    tokens of the split each validation reads; `look_at` gets this number, also in a resumed run.
    Without a `limit` this callback does nothing: such a run validates at fixed steps.
    """

    def __init__(
        self,
        limit: TimeLimit | None,
        throughput: Throughput,
        agreement: Agreement,
        split_tokens: int,
        shown_tokens: int,
        look_at: Callable[[int], None],
    ) -> None:
        self.limit = limit
        self.throughput = throughput
        self.agreement = agreement
        self.split_tokens, self.shown_tokens = split_tokens, shown_tokens
        self.look_at = look_at
        self.validated_at = math.inf  # share of the run at the last validation, or at the start
        self.num_tokens = 0  # not decided yet
        self._validation_seconds = 0.0
        self._began_at = 0.0  # start of a validation that still takes time
        self._first = (0.0, 0.0)  # tokens and seconds at the start
        if limit is not None:
            agreement.ask("elapsed", lambda: throughput.elapsed_seconds)
            agreement.ask("validation", lambda: self._validation_seconds)
            agreement.ask("speed", self._speed)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._first = (self.throughput.tokens, time.monotonic())
        if self.limit is None:
            return
        self.agreement.agree()
        self.validated_at = min(self.validated_at, self._progress(trainer, self.limit))
        if self.num_tokens:
            self.look_at(self.num_tokens)
            reload_validation(trainer)

    def after_batch(self, trainer: pl.Trainer, batch: Any) -> None:
        if self.limit is None:
            return
        progress, fewest = self._progress(trainer, self.limit), fewest_in(self.limit.max_seconds)
        answers = self.agreement.answers
        run_seconds = max(answers["elapsed"], 1e-9) / max(progress, 1e-9)
        seconds = answers["validation"] or run_seconds  # unknown before the first validation
        due = progress - self.validated_at >= gap(seconds, run_seconds, fewest)
        due = (due or progress >= 1) and between_steps(trainer)
        validate_after_this_batch(trainer, due)
        if not due:
            return
        self.validated_at = progress
        if not self.num_tokens:
            each = VALIDATION_SHARE * run_seconds / (fewest + 1)
            affordable = each * PASSES_PER_TRAINING_STEP * answers["speed"]
            self.num_tokens = part_of_split(affordable - self.shown_tokens, self.split_tokens)
            self.look_at(self.num_tokens)
            reload_validation(trainer)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._began_at = time.monotonic()

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any, **__: Any) -> None:
        """By now, the samples and checkpoints of the last validation are done, too."""
        if self._began_at:
            self._validation_seconds = time.monotonic() - self._began_at
            self._began_at = 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"validated_at": self.validated_at, "num_tokens": self.num_tokens}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.validated_at = state_dict["validated_at"]
        self.num_tokens = state_dict["num_tokens"]

    def _progress(self, trainer: pl.Trainer, limit: TimeLimit) -> float:
        return max(trainer.global_step / trainer.max_steps, limit.share)

    def _speed(self) -> float:
        tokens, seconds = self._first
        return (self.throughput.tokens - tokens) / max(time.monotonic() - seconds, 1e-9)
