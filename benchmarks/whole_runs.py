"""Runs of a whole schedule that validate and save nothing, and the time of their steps."""

import time
from itertools import pairwise
from statistics import median
from typing import Any

import pytorch_lightning as pl
import torch

from transformer.config.keys import Config
from transformer.data.text.corpus import Corpus
from transformer.models.base import TokenModel
from transformer.run import assembly
from transformer.run.settling import settle

WARMUP_STEPS = 5  # of a cost measurement; the first one may compile


class StepClock(pl.Callback):
    """Notes the time at the end of each step, on CUDA after the device has finished it."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self._num_steps = 0

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step == self._num_steps:  # a batch whose gradients are accumulated
            return
        self._num_steps = trainer.global_step
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.ends.append(time.perf_counter())

    def seconds_per_step(self) -> float:
        """The median; the first WARMUP_STEPS are left out."""
        ends = self.ends[WARMUP_STEPS - 1 :]
        return median(after - before for before, after in pairwise(ends))


def fit(
    config: Config, corpus: Corpus, seed: int, steps: int, clock: pl.Callback | None = None
) -> tuple[TokenModel, pl.LightningDataModule]:
    """Trains a whole schedule of `steps`; returns model and data."""
    config = settle(config.model_copy(update={"seed": seed}))
    pl.seed_everything(seed, verbose=False)
    task = assembly.build_task(config, corpus)
    module = assembly.build_module(config, task, steps)
    trainer = pl.Trainer(
        **assembly.choose_hardware(config),
        max_epochs=-1,
        max_steps=steps,
        accumulate_grad_batches=config.accumulate_grad_batches,
        limit_val_batches=0,
        log_every_n_steps=assembly.LOG_EVERY_STEPS,
        logger=False,
        callbacks=[] if clock is None else [clock],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    trainer.fit(module, task.data)
    assert isinstance(module.model, TokenModel)
    return module.model.to(trainer.strategy.root_device), task.data
