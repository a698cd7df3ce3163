from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import distributed

from transformer.system.errors import UserError
from transformer.training.callbacks.after_batch import AfterBatch
from transformer.training.ranks import of_all_ranks


class Agreement(AfterBatch):
    """Finds, for each question, the largest answer of all ranks.

    Ranks agree after each batch and after each validation. `ask` adds a question before training;
    callbacks that come after this one read `answers`. The numbers are exchanged between CPUs, so
    that no rank waits for its GPU. `choices` are those that each rank has made on its machine.
    """

    def __init__(self, choices: Mapping[str, Any] | None = None) -> None:
        self.choices = dict(choices or {})
        self.answers: dict[str, float] = {}
        self._questions: dict[str, Callable[[], float]] = {}
        self._group: Any = None

    def ask(self, name: str, question: Callable[[], float]) -> None:
        self._questions[name] = question
        self.answers[name] = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Raises: UserError if ranks start at different steps, which can happen after a restart.

        Or if they have chosen otherwise: each asks its own machine, or the folder of answers.
        """
        if trainer.world_size == 1:
            return
        self._group = distributed.new_group(backend="gloo")
        steps = of_all_ranks(trainer.global_step)
        first, last = min(steps), max(steps)
        if first < last:
            raise UserError(
                f"some processes continue from step {last:,} and others from {first:,}: "
                "give torchrun an --rdzv_id of your own, or give `resume` a checkpoint file"
            )
        check_same(of_all_ranks(self.choices))

    def after_batch(self, trainer: pl.Trainer, batch: Any) -> None:
        self.agree()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.agree()

    def agree(self) -> None:
        """All ranks must call this together."""
        own = [float(question()) for question in self._questions.values()]
        if self._group is not None:
            numbers = torch.tensor(own, dtype=torch.float64)
            distributed.all_reduce(numbers, distributed.ReduceOp.MAX, self._group)
            own = numbers.tolist()
        self.answers = dict(zip(self._questions, own, strict=True))


def check_same(choices: Sequence[Mapping[str, Any]]) -> None:
    """Raises: UserError for the first of the choices that is not the same for all ranks."""
    for key, first in choices[0].items():
        other = next((rank for rank, each in enumerate(choices) if each[key] != first), None)
        if other is not None:
            raise UserError(
                f"process 0 chose {key} {first} and process {other} {key} {choices[other][key]}: "
                f"give `{key}`"
            )
