import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytorch_lightning as pl

from transformer.system.devices import used_memory
from transformer.training.callbacks.after_batch import AfterBatch
from transformer.training.lightning_module import LanguageModule

log = logging.getLogger(__name__)


class Announcements(AfterBatch):
    """Logs the losses at every validation; early in the run, its memory and when it will end.

    A resumed run also logs its learning rate if that jumps or if `schedule_changed`. `seconds_left`
    returns the rest of the time limit, infinity without a limit. The run ends at `last_step` at the
    latest. `shown` names the losses after train_loss. `note_of` gets the estimated total number of
    steps and may return a note.
    """

    JUMP = 0.01  # relative; under a time limit, the time of a start changes the rate by less

    # Long enough for a stable estimate. The first step may compile, so it is not timed.
    SECONDS_BEFORE_ESTIMATE = 5.0
    DAY_SECONDS = 24 * 3600

    def __init__(
        self,
        seconds_left: Callable[[], float],
        *,
        last_step: int,
        schedule_changed: bool = False,
        note_of: Callable[[int], str | None] | None = None,
        shown: Sequence[str] = ("val_loss",),
    ) -> None:
        self.seconds_left = seconds_left
        self.last_step = last_step
        self.schedule_changed = schedule_changed
        self.note_of = note_of
        self.shown = ("train_loss", *shown)
        self._begun = False
        self._first: tuple[int, float] | None = None
        self._estimated = False

    def on_train_batch_start(self, trainer: Any, pl_module: Any, *_: Any, **__: Any) -> None:
        is_resumed = not self._begun and trainer.global_step > 0
        if is_resumed and isinstance(pl_module, LanguageModule):
            self._say_learning_rate(pl_module)
        self._begun = True

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
            self._announce(seconds / steps, trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        metrics = trainer.callback_metrics
        parts = [f"{name} {metrics[name]:z.4f}" for name in self.shown if name in metrics]
        if "tokens_per_second" in metrics:
            parts.append(f"{metrics['tokens_per_second']:,.0f} tokens/s")
        log.info("step %s: %s", f"{trainer.global_step:,}", ", ".join(parts))

    def _say_learning_rate(self, module: LanguageModule) -> None:
        before, now = module.lr_on_resuming
        steps_before = module.total_steps_before
        longer = steps_before is not None and steps_before != module.total_steps
        if longer or self.schedule_changed or not math.isclose(before, now, rel_tol=self.JUMP):
            log.info("the learning rate was %.3g and continues at %.3g", before, now)

    def _announce(self, seconds_per_step: float, trainer: pl.Trainer) -> None:
        steps_done = trainer.global_step
        seconds = seconds_per_step * (self.last_step - steps_done)
        seconds = max(0.0, min(seconds, self.seconds_left()))
        finish = time.strftime("%Y-%m-%d %H:%M", time.localtime(time.time() + seconds))
        each, left = duration(seconds_per_step), duration(seconds)
        num_bytes = used_memory(trainer.strategy.root_device)
        used = f"; {num_bytes / 1e9:.2g} GB of memory used" if num_bytes else ""
        log.info("%s per step; about %s left, until %s%s", each, left, finish, used)
        if self.note_of and (note := self.note_of(steps_done + round(seconds / seconds_per_step))):
            log.info(note)
        if seconds > self.DAY_SECONDS:
            log.warning(
                "this run takes days on this machine: stop it (Ctrl+C) and use --max_minutes, "
                "a smaller batch_size, block_size, embedding_dim or num_blocks, or a GPU"
            )


def duration(seconds: float) -> str:
    """Uses the largest unit in which the number is at least 2."""
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.3g} s"
