"""Scalars, texts and images to the Trainer's loggers, at the step that was just taken."""

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from numpy.typing import NDArray
from pytorch_lightning.loggers import TensorBoardLogger
from torch.utils.tensorboard.summary import hparams

from transformer.training.lightning_internals import forget_writer, has_writer

log = logging.getLogger(__name__)


class RunLogger(TensorBoardLogger):
    """TensorBoard events into a run's folder, beside the config.yaml that stands for hparams.

    Of a resumed run, what was logged from `purge_step` on is gone. Where events cannot be written,
    as on a full disk, those of the next RETRY_SECONDS are lost, with one warning, and what follows
    goes into a new file.
    """

    RETRY_SECONDS = 30.0

    def __init__(self, folder: Path, purge_step: int | None = None) -> None:
        super().__init__(
            str(folder),
            name="",
            version="",
            default_hp_metric=False,
            purge_step=purge_step,
        )
        self._folder = folder
        self._warned = False
        self._retry_at = 0.0

    @property
    def log_dir(self) -> str:
        """The folder as it is: Lightning would read a $ or ~ in it."""
        return str(self._folder)

    def reopen(self) -> None:
        """In a new file, as where the folder has been made again."""
        with suppress(OSError, ValueError):
            super().finalize("")
        self._retry_at = 0.0
        forget_writer(self)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self.write(lambda _: super(RunLogger, self).log_metrics(metrics, step))

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Not the module's, which Lightning offers: a run's are its config, see `log_hparams`."""

    def save(self) -> None:
        """Flushes, and writes no hparams.yaml."""
        self.write(lambda experiment: experiment.flush())

    def finalize(self, status: str) -> None:
        """At the end of a run, where its writer may have failed unseen in the background."""
        if has_writer(self):
            self.write(lambda _: super(RunLogger, self).finalize(status))

    def write(self, call: Callable[[Any], Any]) -> None:
        """`call` with the SummaryWriter."""
        if time.monotonic() < self._retry_at:
            return
        try:
            call(self.experiment)
        except (OSError, ValueError) as wrapped:
            error = wrapped.__cause__ or wrapped  # Lightning wraps what a scalar runs into
            if not isinstance(error, OSError):
                raise
            is_gone = not self._folder.is_dir()  # which is said where it is made again
            if not self._warned and not is_gone:
                reason = error.strerror or str(error).splitlines()[0]
                log.warning("%s: curves cannot be written (%s)", self.log_dir, reason)
                self._warned = True
            self._retry_at = math.inf if is_gone else time.monotonic() + self.RETRY_SECONDS
            forget_writer(self)


def log_scalars(trainer: pl.Trainer, scalars: Mapping[str, float]) -> None:
    """At the number of steps done. (Lightning's own `log` counts from 0, one behind.)"""
    for logger in trainer.loggers if scalars else ():
        logger.log_metrics(dict(scalars), step=trainer.global_step)


def log_text(trainer: pl.Trainer, name: str, text: str) -> None:
    """To TensorBoard as preformatted Markdown, which keeps line ends and blanks."""
    markdown = "\n".join(f"    {line}" for line in text.split("\n"))
    _to_tensorboard(trainer, lambda writer: writer.add_text(name, markdown, trainer.global_step))


def log_image(trainer: pl.Trainer, name: str, image: NDArray[np.uint8]) -> None:
    """Height x width x 3 to TensorBoard."""
    step = trainer.global_step
    _to_tensorboard(trainer, lambda writer: writer.add_image(name, image, step, dataformats="HWC"))


def log_hparams(trainer: pl.Trainer, keys: Mapping[str, Any]) -> None:
    """To TensorBoard's HParams; its metrics are the run's scalars.

    TensorBoard itself finds out which keys all runs of a folder have and which of them differ, as
    long as no run declares that for all.
    """
    known = {key: keys[key] for key in keys if keys[key] is not None}
    words = {True: "true", False: "false"}  # torch writes a bool as a number
    plain = {
        key: words[value] if isinstance(value, bool) else value for key, value in known.items()
    }
    plain = {k: v if isinstance(v, int | float | str) else str(v) for k, v in plain.items()}
    _, start, _ = hparams(plain, {})
    _to_tensorboard(trainer, lambda writer: writer._get_file_writer().add_summary(start))


def log_charts(trainer: pl.Trainer, charts: Mapping[str, Mapping[str, Sequence[str]]]) -> None:
    """To TensorBoard's Custom Scalars: by category and title, the names on one chart."""
    layout = {
        category: {title: ["Multiline", [f"^{n}$" for n in names]] for title, names in of.items()}
        for category, of in charts.items()
    }
    _to_tensorboard(trainer, lambda writer: writer.add_custom_scalars(layout))


def flush(trainer: pl.Trainer) -> None:
    """What was logged goes to the disk."""
    for logger in trainer.loggers:
        logger.save()


def run_loggers(trainer: pl.Trainer) -> list[RunLogger]:
    return [logger for logger in trainer.loggers if isinstance(logger, RunLogger)]


def _to_tensorboard(trainer: pl.Trainer, call: Callable[[Any], Any]) -> None:
    if not trainer.is_global_zero:
        return
    for logger in trainer.loggers:
        if isinstance(logger, RunLogger):
            logger.write(call)
        elif isinstance(logger, TensorBoardLogger):
            call(logger.experiment)
