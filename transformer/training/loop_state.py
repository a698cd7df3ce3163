"""Where a Trainer's loop stands, asked from hooks at the end of a batch."""

import pytorch_lightning as pl


def log_every_steps(trainer: pl.Trainer) -> int:
    return trainer.log_every_n_steps  # pyright: ignore[reportAttributeAccessIssue]  # set late


def between_steps(trainer: pl.Trainer) -> bool:
    """True after the batch that ends an optimizer step, false within accumulation."""
    return not trainer.fit_loop.epoch_loop._should_accumulate()


def logs_now(trainer: pl.Trainer) -> bool:
    """True after the batch that ends a step to be logged."""
    every_steps = log_every_steps(trainer)
    due = every_steps > 0 and trainer.global_step % every_steps == 0
    return due and between_steps(trainer)


# Batches until a validation that comes at no fixed step.
NEVER = 2**62


def validate_after_this_batch(trainer: pl.Trainer, due: bool) -> None:
    """Or after no batch, for a Trainer that got NEVER as its val_check_interval."""
    batches = trainer.fit_loop.epoch_loop.total_batch_idx + 1
    trainer.val_check_batch = batches if due else NEVER


def validates_now(trainer: pl.Trainer) -> bool:
    """True where a validation follows on this batch."""
    data_fetcher = trainer.fit_loop._data_fetcher
    assert data_fetcher is not None
    return trainer.fit_loop.epoch_loop._should_check_val_fx(data_fetcher)
