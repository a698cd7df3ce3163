"""What happens around the steps: speed, samples, stopping. Checkpoints are in `checkpoints.py`."""

import logging
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from pytorch_lightning.callbacks import EarlyStopping

from transformer.models.base import SequenceModel
from transformer.training.after_batch import AfterBatch
from transformer.training.agreement import Agreement
from transformer.training.estimates import PASSES_PER_TRAINING_STEP
from transformer.training.lightning_module import LanguageModule
from transformer.training.loggers import log_image, log_scalars, log_text
from transformer.training.loop_state import logs_now

log = logging.getLogger(__name__)


class Throughput(AfterBatch):
    """Counts tokens and seconds over all resumes; logs tokens_per_second and corpus_passes.

    tokens_per_second leaves out validation, samples and checkpoints; elapsed_seconds is all of the
    time since `started_at` (of time.monotonic). One corpus pass is `num_train_tokens` tokens. An
    example is a row of a batch, padding left out: `tokens_per_example` on average.
    """

    def __init__(
        self, num_train_tokens: int, tokens_per_example: float, started_at: float | None = None
    ) -> None:
        self.num_train_tokens = num_train_tokens
        self.tokens_per_example = tokens_per_example
        self.examples = 0
        self.training_seconds = 0.0
        self._elapsed_before = 0.0
        self._started_at = time.monotonic() if started_at is None else started_at
        self._resumed_at = 0.0  # when the current stretch of training steps began
        self._counted_tokens = 0.0  # those of training_seconds
        self._logged = (0.0, 0.0)  # tokens and training seconds at the last logging

    @property
    def tokens(self) -> float:
        return self.examples * self.tokens_per_example

    @property
    def elapsed_seconds(self) -> float:
        return self._elapsed_before + time.monotonic() - self._started_at

    @property
    def tokens_per_second(self) -> float:
        """Over the whole run, up to the last logging or validation."""
        return self._counted_tokens / max(self.training_seconds, 1e-9)

    @property
    def corpus_passes(self) -> float:
        return self.tokens / self.num_train_tokens

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._resumed_at = time.monotonic()

    def after_batch(self, trainer: pl.Trainer, batch: Any) -> None:
        self.examples += len(batch[0]) * trainer.world_size
        if not logs_now(trainer):
            return
        self._add_stretch()
        tokens, seconds = self._logged
        self._logged = (self.tokens, self.training_seconds)
        rate = (self.tokens - tokens) / max(self.training_seconds - seconds, 1e-9)
        trainer.callback_metrics["tokens_per_second"] = torch.tensor(rate)
        log_scalars(trainer, {"tokens_per_second": rate, "corpus_passes": self.corpus_passes})

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._add_stretch()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Comes before what other callbacks do here, so a stretch begins at the next batch."""
        self._resumed_at = 0.0

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._resumed_at = self._resumed_at or time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        return {
            "examples": self.examples,
            "training_seconds": self.training_seconds,
            "elapsed_seconds": self.elapsed_seconds,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.examples = state_dict["examples"]
        self._counted_tokens = self.tokens
        self.training_seconds = state_dict["training_seconds"]
        self._elapsed_before = state_dict["elapsed_seconds"]
        self._logged = (self.tokens, self.training_seconds)

    def _add_stretch(self) -> None:
        now = time.monotonic()
        if self._resumed_at:
            self.training_seconds += now - self._resumed_at
        self._counted_tokens = self.tokens
        self._resumed_at = now


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


class ConfigText(pl.Callback):
    """Logs the config as text, once."""

    def __init__(self, text: str) -> None:
        self.text = text

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        log_text(trainer, "config", self.text)


class Shown(NamedTuple):
    """What a model makes of a few inputs."""

    text: str
    scalars: Mapping[str, float] = MappingProxyType({})
    images: Mapping[str, NDArray[np.uint8]] = MappingProxyType({})  # height x width x 3


class Samples(pl.Callback):
    """Logs what `show` gives of the model at every validation."""

    def __init__(self, show: Callable[[SequenceModel], Shown]) -> None:
        self.show = show

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.sanity_checking:
            return
        assert isinstance(pl_module, LanguageModule)
        model = pl_module.whole_model()
        scalars: Mapping[str, float] = {}
        if trainer.is_global_zero:
            # Windows of every length would each be compiled anew.
            with torch.compiler.set_stance("force_eager"):
                shown = self.show(model)
            scalars = dict(shown.scalars)
            log_text(trainer, "sample", shown.text)
            log_scalars(trainer, scalars)
            for name, image in shown.images.items():
                log_image(trainer, name, image)
        if trainer.world_size > 1:  # all ranks go by the same figures
            scalars = trainer.strategy.broadcast(scalars)
        trainer.callback_metrics.update({k: torch.tensor(v) for k, v in scalars.items()})


class Announcements(AfterBatch):
    """A line at every validation, and early in the run when it will be over.

    `seconds_left` says how much of a time limit is left, infinity where there is none.
    """

    # Long enough for a steady rate; the first step, which may compile, is left out.
    SECONDS_BEFORE_ESTIMATE = 5.0
    DAY_SECONDS = 24 * 3600

    def __init__(self, seconds_left: Callable[[], float]) -> None:
        self.seconds_left = seconds_left
        self._first: tuple[int, float] | None = None
        self._estimated = False

    def after_batch(self, trainer: pl.Trainer, batch: Any) -> None:
        if self._estimated:
            return
        now = time.monotonic()
        if self._first is None:
            self._first = (trainer.global_step, now)
            return
        steps, seconds = trainer.global_step - self._first[0], now - self._first[1]
        if steps and seconds >= self.SECONDS_BEFORE_ESTIMATE:
            self._estimated = True
            self._announce(seconds / steps, trainer.max_steps - trainer.global_step)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        metrics = trainer.callback_metrics
        names = ("train_loss", "val_loss", "val_bits_per_char", "val_word_error_rate")
        parts = [f"{name} {metrics[name]:.4f}" for name in names if name in metrics]
        if "tokens_per_second" in metrics:
            parts.append(f"{metrics['tokens_per_second']:,.0f} tokens/s")
        log.info("step %s: %s", f"{trainer.global_step:,}", ", ".join(parts))

    def _announce(self, seconds_per_step: float, steps_left: int) -> None:
        seconds = min(seconds_per_step * steps_left, self.seconds_left())
        finish = time.strftime("%Y-%m-%d %H:%M", time.localtime(time.time() + seconds))
        log.info(
            "%s a step: about %s to go, until %s",
            *map(duration, (seconds_per_step, seconds)),
            finish,
        )
        if seconds > self.DAY_SECONDS:
            log.warning(
                "this run takes days on this machine: stop it (Ctrl+C) and give --max_minutes, "
                "a smaller batch_size, block_size, embedding_dim or num_blocks, or a GPU"
            )


def duration(seconds: float) -> str:
    """In the largest unit that makes it at least two."""
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.3g} s"
