"""Skips optimizer steps that would ruin the weights; the device itself decides and counts."""

import logging
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from transformer.system.errors import UserError

log = logging.getLogger(__name__)

# With float16, steps are skipped to find the loss scale: starting at 2^16, rarely more than 8.
MOST_IN_A_ROW = 10


def skip_step(optimizer: Optimizer, skipped: Tensor) -> None:
    """Makes the optimizer's next step change nothing if `skipped` is 1.

    Fused AdamW and Muon check this on the GPU, as they do for torch.amp.GradScaler. On other
    devices reading the number costs nothing (on MPS, little).
    """
    optimizer = getattr(optimizer, "optimizer", optimizer)  # Lightning wraps it
    if skipped.is_cuda:
        optimizer.found_inf = skipped  # pyright: ignore[reportAttributeAccessIssue]
    elif skipped:
        optimizer.zero_grad(set_to_none=True)


class StepGuard(nn.Module):
    """Counts the steps whose gradient is not finite; reads nothing back until `report`."""

    total: Tensor  # steps skipped so far
    in_a_row: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("total", torch.zeros(()), persistent=False)
        self.register_buffer("in_a_row", torch.zeros(()), persistent=False)
        self._reported = 0

    def count(self, grad_norm: Tensor) -> Tensor:
        """Returns 1 if the step must be skipped, else 0, on the device of the norm."""
        skipped = (~grad_norm.isfinite()).float()
        self.total += skipped
        self.in_a_row.add_(skipped).mul_(skipped)
        return skipped

    def report(self, step: int, lr: float, grad_norm: float) -> None:
        """Warns of the steps that were skipped since the last report.

        Raises: UserError if MOST_IN_A_ROW or more steps in a row were skipped.
        """
        total = int(self.total)
        if total == self._reported:
            return
        if int(self.in_a_row) >= MOST_IN_A_ROW:
            raise UserError(
                f"the gradient was not finite, {int(self.in_a_row)} steps in a row, at step "
                f"{step:,} (lr {lr:g}, grad_norm {grad_norm:g}): these steps were skipped, so the "
                "last checkpoint is good; give a smaller `lr`, more `warmup_steps`, or "
                "`precision=float32`"
            )
        log.warning(
            "step %s: steps skipped because the gradient was not finite: %d (%d in total)",
            f"{step:,}",
            total - self._reported,
            total,
        )
        self._reported = total

    def state(self) -> dict[str, Any]:
        return {"total": self.total.cpu(), "in_a_row": self.in_a_row.cpu()}

    def restore(self, state: dict[str, Any]) -> None:
        self.total.copy_(state["total"])
        self.in_a_row.copy_(state["in_a_row"])
        self._reported = int(self.total)
