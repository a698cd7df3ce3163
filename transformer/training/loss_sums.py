"""The mean loss of a split: every scored token of all ranks counts equally."""

import torch
from jaxtyping import Float, Int
from pytorch_lightning.strategies import Strategy
from torch import Tensor

from transformer.special_ids import IGNORED
from transformer.training.losses import cross_entropy


class LossSums(list[Tensor]):
    """Per batch: the sum of losses and the number of scored tokens, on the device until `mean`."""

    def add(self, logits: Float[Tensor, "B T V"], targets: Int[Tensor, "B T"]) -> None:
        loss_sum = cross_entropy(logits, targets, "sum")
        self.append(torch.stack((loss_sum, (targets != IGNORED).sum())))

    def mean(self, strategy: Strategy, device: torch.device) -> Tensor:
        """All ranks must call this together."""
        sums = torch.stack(list(self)).cpu().double().sum(dim=0).to(device, torch.float32)
        loss_sum, num_scored = strategy.reduce(sums, reduce_op="sum")
        return loss_sum / num_scored
