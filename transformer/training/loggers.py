"""Scalars and texts to whatever loggers the Trainer has, at the step that was just taken."""

from collections.abc import Mapping

import pytorch_lightning as pl
from pytorch_lightning.loggers import TensorBoardLogger


def log_scalars(trainer: pl.Trainer, scalars: Mapping[str, float]) -> None:
    """At the number of steps done. (Lightning's own `log` counts from 0, one behind.)"""
    for logger in trainer.loggers:
        logger.log_metrics(dict(scalars), step=trainer.global_step)


def log_text(trainer: pl.Trainer, name: str, text: str) -> None:
    """To TensorBoard as preformatted Markdown, which keeps line ends and blanks."""
    markdown = "\n".join(f"    {line}" for line in text.split("\n"))
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_text(name, markdown, trainer.global_step)


def logs_now(trainer: pl.Trainer) -> bool:
    """True after the batch that ends a step to be logged."""
    epoch_loop = trainer.fit_loop.epoch_loop
    return not epoch_loop._should_accumulate() and trainer.global_step % trainer.log_every_n_steps == 0
