import time
from typing import Any

import pytorch_lightning as pl
import torch

from transformer.training.callbacks.after_batch import AfterBatch
from transformer.training.lightning_internals import add_metrics, logs_now
from transformer.training.loggers import log_scalars


class Throughput(AfterBatch):
    """Counts tokens and seconds over all resumes; logs tokens_per_second and corpus_passes.

    tokens_per_second leaves out validation, samples and checkpoints; elapsed_seconds is the whole
    time since `started_at` (of time.monotonic), and began_seconds those of them before the run's
    first step, for imports, a plan and its race. One corpus pass is `num_train_tokens` tokens. An
    example is a row of a batch; it has `tokens_per_example` tokens on average, without padding.
    """

    def __init__(
        self, num_train_tokens: int, tokens_per_example: float, started_at: float | None = None
    ) -> None:
        self.num_train_tokens = num_train_tokens
        self.tokens_per_example = tokens_per_example
        self.examples = 0
        self.training_seconds = 0.0
        self.began_seconds: float | None = None  # unknown before the first step
        self._elapsed_before = 0.0
        self._started_at = time.monotonic() if started_at is None else started_at
        self._resumed_at = 0.0  # start of the current stretch of training steps
        self._counted_tokens = 0.0  # trained on in training_seconds
        self._logged = (0.0, 0.0)  # tokens and training seconds at the last logging

    @property
    def tokens(self) -> float:
        return self.examples * self.tokens_per_example

    @property
    def elapsed_seconds(self) -> float:
        return self._elapsed_before + time.monotonic() - self._started_at

    @property
    def tokens_per_second(self) -> float:
        return self._counted_tokens / max(self.training_seconds, 1e-9)

    @property
    def corpus_passes(self) -> float:
        return self.tokens / self.num_train_tokens

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._resumed_at = time.monotonic()
        if self.began_seconds is None:
            self.began_seconds = self.elapsed_seconds

    def after_batch(self, trainer: pl.Trainer, batch: Any) -> None:
        self.examples += len(batch[0]) * trainer.world_size
        if not logs_now(trainer):
            return
        self._add_stretch()
        tokens, seconds = self._logged
        self._logged = (self.tokens, self.training_seconds)
        rate = (self.tokens - tokens) / max(self.training_seconds - seconds, 1e-9)
        add_metrics(trainer, {"tokens_per_second": torch.tensor(rate)})
        log_scalars(trainer, {"tokens_per_second": rate, "corpus_passes": self.corpus_passes})

    def pause(self) -> None:
        """Leaves out, of tokens_per_second, what follows until the next batch."""
        self._add_stretch()
        self._resumed_at = 0.0

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._add_stretch()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Other callbacks still do work after this, so the clock restarts at the next batch."""
        self._resumed_at = 0.0

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any, **__: Any) -> None:
        self._resumed_at = self._resumed_at or time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        return {
            "examples": self.examples,
            "training_seconds": self.training_seconds,
            "elapsed_seconds": self.elapsed_seconds,
            "began_seconds": self.began_seconds,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.examples = state_dict["examples"]
        self._counted_tokens = self.tokens
        self.training_seconds = state_dict["training_seconds"]
        self._elapsed_before = state_dict["elapsed_seconds"]
        self.began_seconds = state_dict.get("began_seconds", 0.0)  # older runs counted from there
        self._logged = (self.tokens, self.training_seconds)

    def _add_stretch(self) -> None:
        now = time.monotonic()
        if self._resumed_at:
            self.training_seconds += now - self._resumed_at
        self._counted_tokens = self.tokens
        self._resumed_at = now
