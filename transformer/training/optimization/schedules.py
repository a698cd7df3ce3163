"""The learning rate's course: a factor between 0 and 1, a pure function of step and progress."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch.optim.lr_scheduler import LambdaLR


def _constant(progress: float, decay_fraction: float) -> float:
    return 1.0


def _cosine(progress: float, decay_fraction: float) -> float:
    return (1 + math.cos(math.pi * progress)) / 2


def _trapezoid(progress: float, decay_fraction: float) -> float:
    return min(1.0, (1 - progress) / decay_fraction) if decay_fraction else 1.0


# What is left of the way from the final to the peak learning rate at a share of the run.
_REMAINING: dict[str, Callable[[float, float], float]] = {
    "constant": _constant,
    "cosine": _cosine,
    "trapezoid": _trapezoid,
}
SCHEDULES = (*_REMAINING, "noam")


def learning_rate_factor(
    schedule: str,
    step: int,
    progress: float,
    *,
    warmup_steps: int = 0,
    decay_fraction: float = 0.6,
    final_lr_fraction: float = 0.1,
) -> float:
    """What the peak learning rate is multiplied with at `step`, counted from 0; above 0 there.

    `progress` is the share of the run that is done, 0 to 1. Warmup is linear over warmup_steps and
    multiplies: constant, 1; cosine, half a cosine from 1 to final_lr_fraction (Loshchilov and
    Hutter 2017, arXiv:1608.03983, without restarts); trapezoid, 1 and then, over the last
    decay_fraction of the run, a line to final_lr_fraction. noam is min(s / w, sqrt(w / s)) at
    s = step + 1 and w = warmup_steps: arXiv:1706.03762, 5.3, where the peak is (C w)^(-1/2).

    Raises: ValueError for another schedule, listing the known ones.
    """
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule must be one of {', '.join(SCHEDULES)}, got {schedule!r}")
    warmup = min(1.0, (step + 1) / max(1, warmup_steps))
    if schedule == "noam":
        return warmup * min(1.0, math.sqrt(max(1, warmup_steps) / (step + 1)))
    remaining = _REMAINING[schedule](min(1.0, progress), decay_fraction)
    return warmup * (final_lr_fraction + (1 - final_lr_fraction) * remaining)


def automatic_warmup(total_steps: int | float) -> int:
    """A twentieth of the run, at most 100 steps."""
    return 100 if total_steps >= 2000 else int(total_steps) // 20


@dataclass
class Schedule:
    """The factors of a run: `learning_rate_factor` with all but the step.

    `total_steps` may be infinite where the schedule has no end. `time_share` is the share of a time
    limit that is spent: the progress is no less.
    """

    name: str
    warmup_steps: int | str  # "auto" is a twentieth of the run, at most 100
    decay_fraction: float
    final_lr_fraction: float
    total_steps: int | float = math.inf
    time_share: float = 0.0

    def over(self, total_steps: int | float) -> "Schedule":
        """The same for a run of another length; below 1 is one without an end.

        Raises: ValueError where such a run has a schedule that decays towards its end.
        """
        endless = not 1 <= total_steps < math.inf
        if endless and self.name in ("cosine", "trapezoid"):
            raise ValueError(
                f"the schedule {self.name} needs its length: give total_steps, "
                "Trainer(max_steps=) or Trainer(max_epochs=), or schedule='constant'"
            )
        return replace(self, total_steps=math.inf if endless else total_steps)

    def factor(self, step: int) -> float:
        """A method and no function within a function, which could not be pickled."""
        if isinstance(self.warmup_steps, str):
            warmup_steps = automatic_warmup(self.total_steps)
        else:
            warmup_steps = self.warmup_steps
        return learning_rate_factor(
            self.name,
            step,
            max(step / self.total_steps, self.time_share),
            warmup_steps=round(min(warmup_steps, self.total_steps)),
            decay_fraction=self.decay_fraction,
            final_lr_fraction=self.final_lr_fraction,
        )


class ScheduledLR(LambdaLR):
    """Its state in a checkpoint has the step alone: the schedule is made anew from the settings."""

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"lr_lambdas": [None] * len(self.lr_lambdas)}
