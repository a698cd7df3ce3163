"""Every use of an undocumented part of Lightning, in one file.

A new version of Lightning may change these parts without notice. After an upgrade, read what has
changed, run tests/training/test_lightning_internals.py, and add the version to TRIED_WITH.

One use is elsewhere: a LightningModule's `_trainer`. It is None without a Trainer; the documented
`trainer` raises an error then.
"""

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor

TRIED_WITH = ("2.6.6",)

# So many batches that a Trainer never validates by itself.
NEVER = 2**62


def between_steps(trainer: pl.Trainer) -> bool:
    """True after the batch that ends an optimizer step, false within accumulation."""
    return not trainer.fit_loop.epoch_loop._should_accumulate()


def logs_now(trainer: pl.Trainer) -> bool:
    """True after the batch that ends a step to be logged."""
    every_steps = trainer.log_every_n_steps  # pyright: ignore[reportAttributeAccessIssue]  # set later
    due = every_steps > 0 and trainer.global_step % every_steps == 0
    return due and between_steps(trainer)


def validate_after_this_batch(trainer: pl.Trainer, due: bool) -> None:
    """If not `due`, no batch is followed by a validation. Needs NEVER as val_check_interval."""
    trainer.val_check_batch = trainer.fit_loop.total_batch_idx + 1 if due else NEVER


def validates_now(trainer: pl.Trainer) -> bool:
    data_fetcher = trainer.fit_loop._data_fetcher
    assert data_fetcher is not None
    return trainer.fit_loop.epoch_loop._should_check_val_fx(data_fetcher)


def reload_validation(trainer: pl.Trainer) -> None:
    """Makes Lightning ask for a new loader of the validation batches."""
    loop = trainer.fit_loop.epoch_loop.val_loop
    loop._combined_loader = None
    trainer.validating = True
    loop.setup_data()
    trainer.training = True


def add_metrics(trainer: pl.Trainer, metrics: Mapping[str, Tensor]) -> None:
    """Makes metrics visible to callbacks, as `log` does, but not to loggers."""
    trainer.callback_metrics.update(metrics)


def leave_signals_alone(trainer: pl.Trainer) -> None:
    """Keeps Lightning from setting signal handlers.

    Its handler would lose a SIGTERM between two batches. It also does not restore a handler that C
    code has set.
    """
    trainer._signal_connector.register_signal_handlers = lambda: None


def started_processes(trainer: pl.Trainer) -> list[Any]:
    """Lightning's own list of the other ranks that this process has started."""
    return getattr(trainer.strategy.launcher, "procs", [])


def has_writer(logger: TensorBoardLogger) -> bool:
    return logger._experiment is not None


def forget_writer(logger: TensorBoardLogger) -> None:
    """Makes the next logging start a new file, which purges no earlier points."""
    logger._experiment = None
    logger._kwargs.pop("purge_step", None)
