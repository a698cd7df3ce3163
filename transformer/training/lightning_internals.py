"""All that a run uses of Lightning beside its documented interface, in one file.

A new version may change any of it without saying so. When you upgrade, run
tests/training/test_lightning_internals.py, look at what has changed, and name the version here.

One thing stands elsewhere: a LightningModule's `_trainer`. It is None where there is no Trainer,
and the documented `trainer` raises an error there.
"""

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor

TRIED_WITH = ("2.6.6",)

# Batches until a validation that comes at no fixed step.
NEVER = 2**62


def between_steps(trainer: pl.Trainer) -> bool:
    """True after the batch that ends an optimizer step, false within accumulation."""
    return not trainer.fit_loop.epoch_loop._should_accumulate()


def logs_now(trainer: pl.Trainer) -> bool:
    """True after the batch that ends a step to be logged."""
    every_steps = trainer.log_every_n_steps  # pyright: ignore[reportAttributeAccessIssue]  # set late
    due = every_steps > 0 and trainer.global_step % every_steps == 0
    return due and between_steps(trainer)


def validate_after_this_batch(trainer: pl.Trainer, due: bool) -> None:
    """Or after no batch, for a Trainer that got NEVER as its val_check_interval."""
    trainer.val_check_batch = trainer.fit_loop.total_batch_idx + 1 if due else NEVER


def validates_now(trainer: pl.Trainer) -> bool:
    """True where a validation follows on this batch."""
    data_fetcher = trainer.fit_loop._data_fetcher
    assert data_fetcher is not None
    return trainer.fit_loop.epoch_loop._should_check_val_fx(data_fetcher)


def reload_validation(trainer: pl.Trainer) -> None:
    """Has Lightning ask for the validation batches anew."""
    loop = trainer.fit_loop.epoch_loop.val_loop
    loop._combined_loader = None
    trainer.validating = True
    loop.setup_data()
    trainer.training = True


def add_metrics(trainer: pl.Trainer, metrics: Mapping[str, Tensor]) -> None:
    """Callbacks find them beside what `log` was given; no logger does."""
    trainer.callback_metrics.update(metrics)


def leave_signals_alone(trainer: pl.Trainer) -> None:
    """Keeps Lightning from setting handlers of its own: its SIGTERM would be lost between two
    batches, and it does not put back a handler that C code has set.
    """
    trainer._signal_connector.register_signal_handlers = lambda: None


def started_processes(trainer: pl.Trainer) -> list[Any]:
    """Lightning's own list of the other ranks that this process has started."""
    return getattr(trainer.strategy.launcher, "procs", [])


def has_writer(logger: TensorBoardLogger) -> bool:
    return logger._experiment is not None


def forget_writer(logger: TensorBoardLogger) -> None:
    """What is logged next goes into a new file, and nothing is purged for it."""
    logger._experiment = None
    logger._kwargs.pop("purge_step", None)
