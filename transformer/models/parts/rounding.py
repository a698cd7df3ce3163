import torch
from jaxtyping import Float, Int8
from torch import Tensor

_MOST = 127  # the largest int8; -128 is not used


def rounded_to_int8(
    weight: Float[Tensor, "N K"],
) -> tuple[Int8[Tensor, "N K"], Float[Tensor, " N"]]:
    """The matrix in int8, and a scale in bf16 for each row.

    The scale of a row is max |weight| / 127, so the rounding error is at most half a scale.
    """
    scales = (weight.abs().amax(dim=1) / _MOST).clamp(min=1e-12).bfloat16()
    quantized = (weight / scales.to(weight.dtype)[:, None]).round().clamp(-_MOST, _MOST)
    return quantized.to(torch.int8), scales
