"""The exact mean loss of a model over batches."""

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from transformer.evaluation.side_by_side import side_by_side
from transformer.models.base import SequenceModel, evaluating
from transformer.special_ids import IGNORED


def mean_loss(model: SequenceModel, batches: Iterable[Sequence[Tensor]]) -> tuple[float, int]:
    """The mean loss in nats over all targets that are not IGNORED, and the number of these targets.

    A batch has the inputs of the model and then the targets (B, T). Losses are computed in the
    model's number format and added in float64.
    """
    device = next(model.parameters()).device
    each = side_by_side if device.type == "cpu" else map
    total, num_scored = 0.0, 0

    @torch.inference_mode()
    def add_up(batch: Sequence[Tensor]) -> tuple[float, int]:
        *inputs, targets = (part.to(device) for part in batch)
        logits, targets = model(*inputs).flatten(0, 1), targets.flatten()
        losses = F.cross_entropy(logits, targets, reduction="none", ignore_index=IGNORED)
        return losses.cpu().double().sum().item(), int((targets != IGNORED).sum())

    with evaluating(model):
        for loss_sum, number in each(add_up, batches):
            total += loss_sum
            num_scored += number
    return total / num_scored, num_scored
