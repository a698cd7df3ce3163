"""Learning-rate schedules: a factor from 0 to 1, a pure function of step and progress."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch.optim.lr_scheduler import LambdaLR

# From progress and decay_fraction: 1 at the peak learning rate, 0 at the final one.
_REMAINING: dict[str, Callable[[float, float], float]] = {
    "constant": lambda progress, decay: 1.0,
    "cosine": lambda progress, decay: (1 + math.cos(math.pi * progress)) / 2,
    "trapezoid": lambda progress, decay: min(1.0, (1 - progress) / decay) if decay else 1.0,
}
SCHEDULES = (*_REMAINING, "noam")


@dataclass
class Schedule:
    """The learning rate of one run.

    A linear warmup over warmup_steps multiplies the schedule. constant is 1. cosine is half a
    cosine from 1 to final_lr_fraction (Loshchilov and Hutter 2017, arXiv:1608.03983, without
    restarts). trapezoid is 1, and over the last decay_fraction of the run a line to
    final_lr_fraction. noam, warmup included, is min(s / w, sqrt(w / s)) with s = step + 1 and
    w = warmup_steps: arXiv:1706.03762, 5.3, where the peak is (C w)^(-1/2).

    `total_steps` is infinite for a run without an end. `time_share` is the used share of a time
    limit; the progress is at least this share.
    """

    name: str
    warmup_steps: int | str  # "auto" is a twentieth of the run, at most 100
    decay_fraction: float
    final_lr_fraction: float
    total_steps: int | float = math.inf
    time_share: float = 0.0

    def over(self, total_steps: int | float) -> "Schedule":
        """The same schedule for another length; a length below 1 means a run without an end.

        Raises: ValueError for a run without an end if the schedule decays towards the end.
        """
        endless = not 1 <= total_steps < math.inf
        if endless and self.name in ("cosine", "trapezoid"):
            raise ValueError(
                f"schedule {self.name} needs the length of the run: give total_steps, "
                "Trainer(max_steps=) or Trainer(max_epochs=), or schedule='constant'"
            )
        return replace(self, total_steps=math.inf if endless else total_steps)

    def factor(self, step: int) -> float:
        """The factor of the peak learning rate at `step`, counted from 0; at step 0 it is above 0.

        Raises: ValueError for an unknown schedule; the error lists the known ones.
        """
        if self.name not in SCHEDULES:
            raise ValueError(f"schedule must be one of {', '.join(SCHEDULES)}, got {self.name!r}")
        warmup_steps = self.warmup_steps
        if isinstance(warmup_steps, str):
            warmup_steps = 100 if self.total_steps >= 2000 else int(self.total_steps) // 20
        warmup_steps = max(1, round(min(warmup_steps, self.total_steps)))
        warmup = min(1.0, (step + 1) / warmup_steps)
        if self.name == "noam":
            return warmup * min(1.0, math.sqrt(warmup_steps / (step + 1)))
        progress = min(1.0, max(step / self.total_steps, self.time_share))
        remaining = _REMAINING[self.name](progress, self.decay_fraction)
        return warmup * (self.final_lr_fraction + (1 - self.final_lr_fraction) * remaining)


class ScheduledLR(LambdaLR):
    """Saves the step, but not the schedule: a resumed run builds it from its settings."""

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"lr_lambdas": [None] * len(self.lr_lambdas)}
