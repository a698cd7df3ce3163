"""Normalization of vectors: LayerNorm and RMSNorm."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

NORM_EPS = 1e-5  # torch's and GPT-2's


class RMSNorm(nn.RMSNorm):
    """w x / sqrt(mean(x^2) + eps): Zhang and Sennrich 2019 (arXiv:1910.07467), eq. 4.

    The weight is cast to the number format of x.
    """

    def forward(self, x: Float[Tensor, "*A C"]) -> Float[Tensor, "*A C"]:
        return F.rms_norm(x, self.normalized_shape, self.weight.to(x.dtype), self.eps)


def make_norm(
    name: str, embedding_dim: int, *, bias: bool = True, eps: float = NORM_EPS
) -> nn.Module:
    """`layernorm` (Ba et al. 2016), or `rmsnorm`, which has no bias."""
    if name == "layernorm":
        return nn.LayerNorm(embedding_dim, eps=eps, bias=bias)
    if name == "rmsnorm":
        return RMSNorm(embedding_dim, eps=eps)
    raise ValueError(f"norm must be layernorm or rmsnorm, got {name!r}")
