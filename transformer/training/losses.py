"""Terms of the training loss."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from transformer.special_ids import IGNORED, PADDING


def cross_entropy(
    logits: Float[Tensor, "R T V"],
    targets: Int[Tensor, "R T"],
    reduction: str,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Nats, over the targets that are not IGNORED: their mean, or (reduction "sum") their sum."""
    return F.cross_entropy(
        logits.flatten(0, 1),
        targets.flatten(),
        reduction=reduction,
        label_smoothing=label_smoothing,
    )


def passed_twice(batch: Sequence[Tensor]) -> list[Tensor]:
    """The same batch (B rows) as 2 B rows, each of which draws a dropout of its own."""
    return [torch.cat((part, part)) for part in batch]


def dropout_divergence(logits: Float[Tensor, "R T V"], targets: Int[Tensor, "R T"]) -> Tensor:
    """How far two passes of one batch part from each other, in nats per scored target.

    The rows are those of `passed_twice`. The mean of both directions' Kullback-Leibler divergence:
    Liang et al. 2021, R-Drop (arXiv:2106.14448), eq. 2.
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
    """Nats a unit of a target, all alignments summed: Graves et al. 2006 (CTC), eq. 8.

    G / S places in a row belong to each token of a source; PADDING is the blank, and the END of
    each target is not aligned. A target with no place for all of its units counts as 0.
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


def _log_softmax(logits: Float[Tensor, "R T V"]) -> Float[Tensor, "R T V"]:
    """In float32 or wider."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(dim=-1)
