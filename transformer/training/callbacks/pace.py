"""What the clock decides in a run with a time limit, recorded so that a repeated run can follow it.

The clock decides the learning rate of each step, when a validation comes and how much it reads, and
when the run ends. All else depends on the steps alone.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from transformer.training.callbacks.after_batch import AfterBatch
from transformer.training.lightning_internals import (
    between_steps,
    reload_validation,
    validate_after_this_batch,
)


class Pace(NamedTuple):
    """Batches are counted from the start of the run.

    `shares[i]` is the used share of the time limit from which the schedule takes the learning rate
    after batch i. Before the batches in `starts`, the run was started or resumed. `validations` are
    the number of batches before each of them, and the tokens of the split that it read. `ends` is
    false for a run that was stopped before its time.
    """

    shares: Sequence[float]
    starts: Sequence[int]
    validations: Sequence[tuple[int, int]]
    ends: bool = True


class RecordPace(pl.Callback):
    """Keeps the pace of a run with a time limit as a part of its checkpoints: 8 bytes a batch.

    Every run has it: Lightning warns of a callback that only the resumed checkpoint has.
    """

    def __init__(self, spend: Callable[[float], None], *, is_limited: bool) -> None:
        self._spend = spend
        self.is_limited = is_limited
        self.num_batches = 0
        self.shares: list[float] = []
        self.starts: list[int] = []
        self.validations: list[tuple[int, int]] = []
        self._share = 0.0

    def spend(self, share: float) -> None:
        self._share = share
        self._spend(share)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.global_step and not self.num_batches:  # a checkpoint without a record
            self.is_limited = False
        if self.is_limited:
            self.starts = [start for start in self.starts if start < self.num_batches]
            self.starts.append(self.num_batches)

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any, **__: Any) -> None:
        if self.is_limited:
            self.shares += [0.0] * (self.num_batches - len(self.shares)) + [self._share]
        self.num_batches += 1

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.is_limited:
            data: Any = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]  # set later
            self.validations.append((self.num_batches, data.looked_at_tokens))

    def state_dict(self) -> dict[str, Any]:
        return {
            "num_batches": self.num_batches,
            "shares": torch.tensor(self.shares, dtype=torch.float64),
            "starts": list(self.starts),
            "validations": [list(each) for each in self.validations],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.num_batches = state_dict["num_batches"]
        pace = pace_in(state_dict)
        self.shares, self.starts = list(pace.shares), list(pace.starts)
        self.validations = list(pace.validations)


def pace_in(state: dict[str, Any]) -> Pace:
    """The pace that a checkpoint holds as the state of `RecordPace`.

    Raises: KeyError, TypeError or ValueError if it is damaged.
    """
    shares: Tensor = state["shares"]
    validations = [(int(batches), int(tokens)) for batches, tokens in state["validations"]]
    return Pace(shares.tolist(), [int(start) for start in state["starts"]], validations)


class FollowPace(AfterBatch):
    """Repeats what the clock has decided, in place of the clock; ends the run with the pace.

    All validations come as in the pace: at fixed steps, too, there is one more where the clock
    ended the run, or a part of it before it was resumed. `recorded` counts the batches.
    """

    def __init__(self, pace: Pace, recorded: RecordPace, look_at: Callable[[int], None]) -> None:
        self.pace = pace
        self.recorded = recorded
        self.look_at = look_at
        self._validations = dict(pace.validations)
        self._restarts = set(pace.starts)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._spend()
        self._restarts.discard(self.recorded.num_batches)  # the module sets its learning rate now

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any, **__: Any) -> None:
        self._spend()
        if self.recorded.num_batches in self._restarts:
            set_learning_rate(trainer)

    def after_batch(self, trainer: pl.Trainer, batch: Any) -> None:
        done = self.recorded.num_batches
        due = done in self._validations and between_steps(trainer)
        validate_after_this_batch(trainer, due)
        if due:
            self.look_at(self._validations[done])
            reload_validation(trainer)
        if self.pace.ends and done >= len(self.pace.shares):
            trainer.should_stop = True

    def _spend(self) -> None:
        last = len(self.pace.shares) - 1
        self.recorded.spend(self.pace.shares[min(self.recorded.num_batches, last)])


def set_learning_rate(trainer: pl.Trainer) -> None:
    """Sets the rate of the next step from the schedule as it is now, as a resumed run does."""
    scheduler = trainer.lr_scheduler_configs[0].scheduler
    assert isinstance(scheduler, LambdaLR)
    groups = scheduler.optimizer.param_groups
    for group, base, factor in zip(groups, scheduler.base_lrs, scheduler.lr_lambdas, strict=True):
        lr = base * factor(scheduler.last_epoch)
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(lr)
        else:
            group["lr"] = lr
