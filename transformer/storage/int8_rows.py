"""Weights in int8 with one scale a row: a quarter of the bytes, for files that are sent or kept.

This is symmetric absmax quantization with a scale for each output, as in section 2 of LLM.int8()
(Dettmers et al. 2022, arXiv:2208.07339). Only the stored numbers are rounded: who reads them
computes in float32. Every step is one exact or correctly rounded operation on the CPU, so the same
weights give the same bytes on every machine.

`models/parts/rounding.py` rounds for the int8 product of generate.py, whose scales are bf16.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

MOST = 127  # the largest int8; -128 is not used, so that the range is symmetric
# After the name of a tensor. No model has this name: a tensor has no parts with names.
SCALES = ".scales"
_LEAST_SCALE = torch.finfo(torch.float32).tiny  # below it, float32 has fewer and fewer digits


def quantized(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Each matrix in int8, followed by its scales in float32 under `name.scales`.

    `weights` has each tensor once: see `distinct_tensors`. A tensor of two or more dimensions
    (R, ...) has R rows. The scale of a row is max |w| / 127, and a number is round(w / scale), half
    to even: so it is wrong by half a scale at most. A row whose scale is below 1.2e-38 is stored
    as zeros, with a scale of 0. Vectors and single numbers become float32, whole numbers stay.

    Raises: ValueError for numbers that are not finite.
    """
    stored: dict[str, Tensor] = {}
    for name in weights:
        tensor = weights[name].detach().cpu()
        stored[name] = tensor.float() if tensor.is_floating_point() else tensor
        if tensor.is_floating_point() and tensor.dim() >= 2:
            stored[name], stored[name + SCALES] = _rounded(stored[name])
        if not stored.get(name + SCALES, stored[name]).isfinite().all():
            raise ValueError(f"{name} holds numbers that are not finite")
    return stored


def dequantized(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights in float32, as `quantized` rounded them: int8 times the scale of its row.

    Raises: ValueError for tensors that do not go with their scales.
    """
    check_rows(stored)
    return {
        name: tensor * _beside(stored[name + SCALES], tensor) if _is_rounded(tensor) else tensor
        for name, tensor in stored.items()
        if not name.endswith(SCALES)
    }


def check_rows(stored: Mapping[str, Tensor]) -> None:
    """Raises: ValueError for an int8 tensor without a scale for each row, and for other scales."""
    for name, tensor in stored.items():
        scales = stored.get(name + SCALES)
        rows = () if scales is None else (scales.shape, scales.dtype)
        if rows != ((tensor.shape[:1], torch.float32) if _is_rounded(tensor) else ()):
            raise ValueError(f"{name} has no scale for each of its rows, or needs none")
        if name.endswith(SCALES) and name.removesuffix(SCALES) not in stored:
            raise ValueError(f"{name} has no tensor")


def _is_rounded(tensor: Tensor) -> bool:
    return tensor.dtype == torch.int8


def _rounded(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """The scale of a row that holds a number that is not finite is not finite either."""
    scales = tensor.abs().flatten(1).amax(dim=1) / MOST
    scales = scales.where(~(scales < _LEAST_SCALE), 0.0)  # where it is NaN, it stays so
    divisors = scales.where(scales != 0, torch.inf)  # which leaves nothing of a row
    return (tensor / _beside(divisors, tensor)).round().to(torch.int8), scales


def _beside(scales: Tensor, tensor: Tensor) -> Tensor:
    """With a dimension of 1 for each further one of the tensor."""
    return scales.view(-1, *(1,) * (tensor.dim() - 1))
