"""Normalization of vectors: LayerNorm and RMSNorm."""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

NORM_EPS = 1e-5  # torch's and GPT-2's


class RMSNorm(nn.RMSNorm):
    """w x / sqrt(mean(x^2) + eps): Zhang and Sennrich 2019 (arXiv:1910.07467), eq. 4.

    On a CPU, torch has no kernel for it and composes it of many operations; there FewPasses takes
    half the time.
    """

    def forward(self, x: Float[Tensor, "*A C"]) -> Float[Tensor, "*A C"]:
        weight = self.weight
        exact = x.dtype == weight.dtype and x.dtype in (torch.float32, torch.float64)
        if x.device.type == "cpu" and exact and not torch.compiler.is_compiling():
            return FewPasses.apply(x, weight, self.eps)
        return F.rms_norm(x, self.normalized_shape, weight.to(x.dtype), self.eps)


class FewPasses(torch.autograd.Function):
    """RMSNorm and its gradient, with as few passes over memory as torch's operations allow."""

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]  # names its inputs
        ctx: Any, x: Float[Tensor, "*A C"], weight: Float[Tensor, " C"], eps: float
    ) -> Float[Tensor, "*A C"]:
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        scale = norm.square_().div_(x.shape[-1]).add_(eps).rsqrt_()
        y = x * scale
        ctx.save_for_backward(y, scale, weight)
        return y * weight

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """With y = x scale: dx = scale (w g - y mean(w g y)), and dw = the sum of g y."""
        (gradient,) = gradients
        y, scale, weight = ctx.saved_tensors
        product = (gradient * y).reshape(-1, y.shape[-1])
        mean = torch.mv(product, weight).view(scale.shape).div_(y.shape[-1])
        dx = (gradient * weight).addcmul_(y, mean, value=-1).mul_(scale)
        return dx, product.sum(dim=0), None


def make_norm(name: str, embedding_dim: int, *, bias: bool = True) -> nn.Module:
    """`layernorm` (Ba et al. 2016), or `rmsnorm`, which has no bias."""
    if name == "layernorm":
        return nn.LayerNorm(embedding_dim, eps=NORM_EPS, bias=bias)
    if name == "rmsnorm":
        return RMSNorm(embedding_dim, eps=NORM_EPS)
    raise ValueError(f"norm must be layernorm or rmsnorm, got {name!r}")
