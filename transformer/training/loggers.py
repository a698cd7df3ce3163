"""Sends scalars, texts and images to the Trainer's loggers, at the current step."""

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
    """Writes TensorBoard events into a run's folder; config.yaml there replaces hparams.yaml.

    In a resumed run, TensorBoard ignores earlier events from `purge_step` on. If events cannot be
    written (e.g. on a full disk), it warns once, drops the events of the next RETRY_SECONDS, and
    then continues in a new file.
    """

    RETRY_SECONDS = 30.0

    def __init__(self, folder: Path, purge_step: int | None = None) -> None:
        super().__init__(
            str(folder), name="", version="", default_hp_metric=False, purge_step=purge_step
        )
        self._folder = folder
        self._warned = False
        self._retry_at = 0.0

    @property
    def log_dir(self) -> str:
        """The folder's literal name; Lightning would expand a $ or ~ in it."""
        return str(self._folder)

    def reopen(self) -> None:
        """Continues in a new file, for example after the folder was made again."""
        with suppress(OSError, ValueError):
            super().finalize("")
        self._retry_at = 0.0
        forget_writer(self)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self.write(lambda _: super(RunLogger, self).log_metrics(metrics, step))

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Ignores the module's arguments, which Lightning passes: see `log_hparams`."""

    def save(self) -> None:
        """Flushes; unlike Lightning's, it writes no hparams.yaml."""
        self.write(lambda experiment: experiment.flush())

    def finalize(self, status: str) -> None:
        """Goes through `write`, because the background writer may have failed before."""
        if has_writer(self):
            self.write(lambda _: super(RunLogger, self).finalize(status))

    def write(self, call: Callable[[Any], Any]) -> None:
        """Passes the SummaryWriter to `call`; handles errors as the class says."""
        if time.monotonic() < self._retry_at:
            return
        try:
            call(self.experiment)
        except (OSError, ValueError) as wrapped:
            error = wrapped.__cause__ or wrapped  # Lightning wraps errors of scalars
            if not isinstance(error, OSError):
                raise
            is_gone = not self._folder.is_dir()  # then RunFolder.keep warns
            if not self._warned and not is_gone:
                reason = error.strerror or str(error).splitlines()[0]
                log.warning("%s: curves cannot be written (%s)", self.log_dir, reason)
                self._warned = True
            self._retry_at = math.inf if is_gone else time.monotonic() + self.RETRY_SECONDS
            forget_writer(self)


def log_scalars(trainer: pl.Trainer, scalars: Mapping[str, float]) -> None:
    """The step is the number of steps done. (Lightning's `log` counts from 0: one less.)"""
    for logger in trainer.loggers if scalars else ():
        logger.log_metrics(dict(scalars), step=trainer.global_step)


def log_text(trainer: pl.Trainer, name: str, text: str) -> None:
    """Logs to TensorBoard as preformatted Markdown, which keeps line ends and spaces."""
    markdown = "\n".join(f"    {line}" for line in text.split("\n"))
    _to_tensorboard(trainer, lambda writer: writer.add_text(name, markdown, trainer.global_step))


def log_image(trainer: pl.Trainer, name: str, image: NDArray[np.uint8]) -> None:
    step = trainer.global_step
    _to_tensorboard(trainer, lambda writer: writer.add_image(name, image, step, dataformats="HWC"))


def log_hparams(trainer: pl.Trainer, keys: Mapping[str, Any]) -> None:
    """Logs to TensorBoard's HParams, whose metrics are the run's scalars.

    Only the session start is written. Without a summary of the whole experiment, TensorBoard
    itself compares the keys of all runs in a folder.
    """
    known = {key: _plain(value) for key, value in keys.items() if value is not None}
    _, start, _ = hparams(known, {})
    _to_tensorboard(trainer, lambda writer: writer._get_file_writer().add_summary(start))


def log_charts(trainer: pl.Trainer, charts: Mapping[str, Mapping[str, Sequence[str]]]) -> None:
    """Logs TensorBoard's Custom Scalars layout: category -> title of a chart -> its scalars."""
    layout = {
        category: {
            title: ["Multiline", [f"^{n}$" for n in names]] for title, names in of_category.items()
        }
        for category, of_category in charts.items()
    }
    _to_tensorboard(trainer, lambda writer: writer.add_custom_scalars(layout))


def _plain(value: Any) -> int | float | str:
    if isinstance(value, bool):
        return str(value).lower()  # torch writes a bool as a number
    return value if isinstance(value, int | float | str) else str(value)


def _to_tensorboard(trainer: pl.Trainer, call: Callable[[Any], Any]) -> None:
    if not trainer.is_global_zero:
        return
    for logger in trainer.loggers:
        if isinstance(logger, RunLogger):
            logger.write(call)
        elif isinstance(logger, TensorBoardLogger):
            call(logger.experiment)
