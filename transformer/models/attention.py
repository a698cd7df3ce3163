"""Attention weights, attention, multi-head attention and masks.

Letters in shapes, here and in the whole repository: B batch, T query positions, S key positions,
C embedding_dim, H heads, D head_dim = C / H, F feedforward_dim, V vocab_size.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

Mask = Bool[Tensor, "#B #H T S"]


def causal_mask(size: int, device: torch.device | None = None) -> Bool[Tensor, "T T"]:
    """True where a position may be read: itself and all before it."""
    return torch.ones(size, size, dtype=torch.bool, device=device).tril()


def attention_weights(
    query: Float[Tensor, "B H T D"],
    key: Float[Tensor, "B H S D"],
    mask: Mask | None = None,
) -> Float[Tensor, "B H T S"]:
    """How much each query position reads from each key position; rows sum to 1.

    softmax(Q K^T / sqrt(D)), Vaswani et al. 2017 (arXiv:1706.03762), eq. 1, without the final
    product with V so that attention maps can ask for the weights alone.

    `mask[b, h, t, s]` is True where position t may read position s; a row with no True reads
    nothing and gives zeros. The softmax is taken in float32 or wider, then cast back.
    """
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)  # (B, H, T, S)
    wide = scores.to(torch.promote_types(scores.dtype, torch.float32))
    if mask is None:
        return wide.softmax(dim=-1).to(query.dtype)
    # The least finite number, not -inf: a row of -inf has NaN for a softmax and for its gradient.
    weights = wide.masked_fill(~mask, torch.finfo(wide.dtype).min).softmax(dim=-1)
    return weights.masked_fill(~mask, 0).to(query.dtype)


def attention(
    query: Float[Tensor, "B H T D"],
    key: Float[Tensor, "B H S D"],
    value: Float[Tensor, "B H S D"],
    mask: Mask | None = None,
    dropout: float = 0.0,
) -> Float[Tensor, "B H T D"]:
    """attention_weights @ V, spelled out: eq. 1. `dropout` zeroes weights, rescaling the others."""
    weights = F.dropout(attention_weights(query, key, mask), dropout, training=dropout > 0)
    return weights @ value


def fused_attention(
    query: Float[Tensor, "B H T D"],
    key: Float[Tensor, "B H S D"],
    value: Float[Tensor, "B H S D"],
    mask: Mask | None = None,
    dropout: float = 0.0,
    *,
    causal: bool = False,
) -> Float[Tensor, "B H T D"]:
    """The same as `attention`, in torch's fused kernel; `causal` stands for that mask (T = S)."""
    return F.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, dropout_p=dropout, is_causal=causal
    )


class MultiHeadAttention(nn.Module):
    """Self-attention in num_heads parallel heads of head_dim = C / H: arXiv:1706.03762, 3.2.2.

    `rotate` turns queries and keys by their positions, where positions are rotary. A causal one
    reads no later position, whatever the mask says.
    """

    def __init__(
        self,
        embedding_dim: int,
        num_heads: int,
        *,
        causal: bool,
        bias: bool = True,
        dropout: float = 0.0,
        rotate: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        if num_heads < 1 or embedding_dim % num_heads:
            raise ValueError(
                "embedding_dim must be divisible by num_heads, "
                f"got embedding_dim={embedding_dim} and num_heads={num_heads}"
            )
        self.num_heads = num_heads
        self.causal = causal
        self.dropout = dropout
        self.rotate = rotate or nn.Identity()
        self.qkv = nn.Linear(embedding_dim, 3 * embedding_dim, bias=bias)
        self.output = nn.Linear(embedding_dim, embedding_dim, bias=bias)

    def forward(
        self, x: Float[Tensor, "B T C"], mask: Mask | None = None
    ) -> Float[Tensor, "B T C"]:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        q, k = self.rotate(q), self.rotate(k)  # (B, H, T, D)
        if self.causal and mask is not None:
            mask = mask & causal_mask(x.shape[1], x.device)
        causal = self.causal and mask is None
        dropout = self.dropout if self.training else 0.0
        heads = fused_attention(q, k, v, mask, dropout, causal=causal)
        return self.output(heads.transpose(1, 2).flatten(2))  # (B, T, H D)
