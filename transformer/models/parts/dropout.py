"""Dropout (Srivastava et al. 2014), whose random numbers cost little on a CPU."""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


@torch.library.custom_op(
    "transformer::dropout_factors", mutates_args=(), tags=torch.Tag.nondeterministic_seeded
)
def _factors(place: Tensor, shape: Sequence[int], zeros: int) -> Tensor:
    """0 in `zeros` of 256 places, chosen by torch's generator, and else what keeps the mean at 1.

    Eight random bytes are drawn at a time. An operator of its own can be compiled, which `random_`
    cannot. `place`, which gives the dtype, is what tells two draws of a compiled graph apart: it is
    new for each, so the compiler does not take them for one.
    """
    number = math.prod(shape)
    eights = torch.empty(-(-number // 8), dtype=torch.int64).random_(-(2**63), None)
    drawn = eights.view(torch.uint8)[:number].view(shape)
    kept = torch.ge(drawn, zeros, out=place.new_empty(shape))
    return kept.mul_(256 / (256 - zeros))


@_factors.register_fake
def _(place: Tensor, shape: Sequence[Any], zeros: int) -> Tensor:  # sizes may be symbols
    return place.new_empty(shape)


def dropout(x: Float[Tensor, "*A"], p: float) -> Float[Tensor, "*A"]:
    """Zeroes numbers with probability p and scales up the others, so that the mean stays.

    On a CPU, p is rounded to the nearest 1/256, and one random byte decides about each number.
    torch draws a number at a time there, which takes half of the step of a large compiled model.
    """
    zeros = round(256 * p)
    if x.device.type != "cpu" or zeros in (0, 256):
        return F.dropout(x, p)
    return x * _factors(torch.empty(0, dtype=x.dtype), x.shape, zeros)


class Dropout(nn.Dropout):
    """`dropout`, in training alone."""

    def forward(self, input: Float[Tensor, "*A C"]) -> Float[Tensor, "*A C"]:
        return dropout(input, self.p) if self.training else input
