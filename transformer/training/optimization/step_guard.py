"""Optimizer steps that would spoil the weights are skipped, decided and counted on the device."""

import logging
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from transformer.system.errors import UserError

log = logging.getLogger(__name__)

# Half precision finds its loss scale by skipping: from 2^16 on, rarely more than eight times.
MOST_IN_A_ROW = 10


def skip_step(optimizer: Optimizer, skipped: Tensor) -> None:
    """The optimizer's next step does nothing where `skipped` is 1, and is as ever where it is 0.

    Fused AdamW and Muon decide that on the GPU, as they do for torch.amp.GradScaler. Elsewhere
    reading a number costs nothing (on MPS, little).
    """
    optimizer = getattr(optimizer, "optimizer", optimizer)  # Lightning wraps it
    if skipped.is_cuda:
        optimizer.found_inf = skipped  # pyright: ignore[reportAttributeAccessIssue]
    elif skipped:
        optimizer.zero_grad(set_to_none=True)


class StepGuard(nn.Module):
    """Counts the steps whose gradient is not finite.

    Nothing is read back from the device until `report`.
    """

    total: Tensor  # steps skipped so far
    in_a_row: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("total", torch.zeros(()), persistent=False)
        self.register_buffer("in_a_row", torch.zeros(()), persistent=False)
        self._reported = 0

    def count(self, grad_norm: Tensor) -> Tensor:
        """1 where the step is to be skipped, 0 where not, on the device of the norm."""
        skipped = (~grad_norm.isfinite()).float()
        self.total += skipped
        self.in_a_row.add_(skipped).mul_(skipped)
        return skipped

    def report(self, step: int, lr: float, grad_norm: float) -> None:
        """Says how many steps were skipped since the last time.

        Raises: UserError after MOST_IN_A_ROW steps without one that counted.
        """
        total = int(self.total)
        if total == self._reported:
            return
        if int(self.in_a_row) >= MOST_IN_A_ROW:
            raise UserError(
                f"the gradient is not finite, {int(self.in_a_row)} steps in a row, at step "
                f"{step:,} (lr {lr:g}, grad_norm {grad_norm:g}): these steps were skipped, and "
                "the last checkpoint is good; give a smaller `lr`, more `warmup_steps`, or "
                "`precision=float32`"
            )
        log.warning(
            "step %s: %d steps were skipped, whose gradient was not finite (%d in all)",
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
