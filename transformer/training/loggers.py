"""Scalars, texts and images to the Trainer's loggers, at the step that was just taken."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
from numpy.typing import NDArray
from pytorch_lightning.loggers import TensorBoardLogger


class RunLogger(TensorBoardLogger):
    """TensorBoard events into a run's folder, beside the config.yaml that stands for hparams."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            str(folder.parents[1]),
            name=folder.parent.name,
            version=folder.name,
            default_hp_metric=False,
        )

    def save(self) -> None:
        """Flushes, and writes no hparams.yaml."""
        self.experiment.flush()


def log_scalars(trainer: pl.Trainer, scalars: Mapping[str, float]) -> None:
    """At the number of steps done. (Lightning's own `log` counts from 0, one behind.)"""
    for logger in trainer.loggers if scalars else ():
        logger.log_metrics(dict(scalars), step=trainer.global_step)


def log_text(trainer: pl.Trainer, name: str, text: str) -> None:
    """To TensorBoard as preformatted Markdown, which keeps line ends and blanks."""
    markdown = "\n".join(f"    {line}" for line in text.split("\n"))
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_text(name, markdown, trainer.global_step)


def log_image(trainer: pl.Trainer, name: str, image: NDArray[np.uint8]) -> None:
    """Height x width x 3 to TensorBoard."""
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(name, image, trainer.global_step, dataformats="HWC")


def log_every_steps(trainer: pl.Trainer) -> int:
    return trainer.log_every_n_steps  # pyright: ignore[reportAttributeAccessIssue]  # set late


def logs_now(trainer: pl.Trainer) -> bool:
    """True after the batch that ends a step to be logged."""
    epoch_loop = trainer.fit_loop.epoch_loop
    every_steps = log_every_steps(trainer)
    due = every_steps > 0 and trainer.global_step % every_steps == 0
    return due and not epoch_loop._should_accumulate()
