import math
from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from pytorch_lightning.strategies import Strategy
from torch import Tensor

from transformer.special_ids import IGNORED, PADDING


def cross_entropy(
    logits: Float[Tensor, "R T V"],
    targets: Int[Tensor, "R T"],
    reduction: str,
    label_smoothing: float = 0.0,
) -> Tensor:
    """In nats; the mean or sum (`reduction`) over all targets that are not IGNORED."""
    return F.cross_entropy(
        logits.flatten(0, 1),
        targets.flatten(),
        reduction=reduction,
        label_smoothing=label_smoothing,
    )


def passed_twice(batch: Sequence[Tensor]) -> list[Tensor]:
    """Repeats the B rows of a batch, so that each of the 2 B rows gets its own dropout mask."""
    return [torch.cat((part, part)) for part in batch]


def dropout_divergence(logits: Float[Tensor, "R T V"], targets: Int[Tensor, "R T"]) -> Tensor:
    """How much two passes of one batch differ, in nats per scored target.

    The mean of the Kullback-Leibler divergences in both directions: Liang et al. 2021, R-Drop
    (arXiv:2106.14448), eq. 2. The rows must come from `passed_twice`.
    """
    first, second = _log_softmax(logits).chunk(2)  # (B, T, V) each
    scored = targets.chunk(2)[0] != IGNORED
    both_ways = ((first.exp() - second.exp()) * (first - second)).sum(dim=-1) / 2  # (B, T)
    return (both_ways * scored).sum() / scored.sum()


def ctc_loss(
    logits: Float[Tensor, "R G V"],
    source: Int[Tensor, "R S"],
    targets: Int[Tensor, "R T"],
    sum_alignments: Callable[..., Tensor] = F.ctc_loss,
) -> Tensor:
    """CTC loss (Graves et al. 2006, eq. 8) in nats per target token, summed over all alignments.

    Each source token gets G / S successive output places. PADDING is the blank. The END of a
    target is left out. A target that is too long for its places counts as 0.
    """
    places = (source != PADDING).sum(dim=1) * (logits.shape[1] // source.shape[1])
    lengths = (targets != IGNORED).sum(dim=1) - 1
    return sum_alignments(
        _log_softmax(logits).transpose(0, 1),
        targets.clamp(min=PADDING),
        places,
        lengths,
        blank=PADDING,
        zero_infinity=True,
    )


def loss_units(loss: Tensor, split: str, tokens_per_unit: Mapping[str, float]) -> dict[str, Tensor]:
    """What is logged of a split's `loss`: nats per token, and bits per unit of its text."""
    bits = {
        f"{split}_bits_per_{unit}": loss / math.log(2) * num_tokens
        for unit, num_tokens in tokens_per_unit.items()
    }
    return {f"{split}_loss": loss} | bits


def _log_softmax(logits: Float[Tensor, "R T V"]) -> Float[Tensor, "R T V"]:
    return logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(dim=-1)


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
