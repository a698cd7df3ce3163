"""The mean loss of a split, over every scored token of all ranks, whatever the batches' sizes."""

import torch
from jaxtyping import Float, Int
from pytorch_lightning.strategies import Strategy
from torch import Tensor

from transformer.special_ids import IGNORED
from transformer.training.losses import cross_entropy


class LossSums(list[Tensor]):
    """Of each batch its losses and its scored tokens; nothing is read back before `mean`."""

    def add(self, logits: Float[Tensor, "B T V"], targets: Int[Tensor, "B T"]) -> None:
        loss_sum = cross_entropy(logits, targets, "sum")
        self.append(torch.stack((loss_sum, (targets != IGNORED).sum())))

    def mean(self, strategy: Strategy, device: torch.device) -> Tensor:
        """All ranks ask at once."""
        sums = torch.stack(list(self)).cpu().double().sum(dim=0).to(device, torch.float32)
        loss_sum, num_scored = strategy.reduce(sums, reduce_op="sum")
        return loss_sum / num_scored
