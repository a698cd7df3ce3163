"""A transformer with the argument names of many tutorials: `d_model`, `num_layers`, `max_len`.

Only the classes of this file use these names. They call the parts in `models/`, which contain the
mathematics.
"""

from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from transformer.models.parts.attention import MultiHeadAttention, causal_mask
from transformer.models.parts.dropout import Dropout
from transformer.models.parts.layers import Block, initialize_linears, make_feedforward
from transformer.models.parts.norms import make_norm
from transformer.models.parts.positions import SinusoidalPositions


def create_causal_mask(seq_len: int, device: torch.device | None = None) -> Bool[Tensor, "T T"]:
    """True where position t may read position s: s <= t."""
    return causal_mask(seq_len, device)


def check_heads(d_model: int, num_heads: int) -> None:
    """Raises: ValueError if d_model is not divisible by num_heads."""
    if num_heads < 1 or d_model % num_heads:
        raise ValueError(
            "d_model must be divisible by num_heads, "
            f"got d_model={d_model} and num_heads={num_heads}"
        )


def for_all_heads(mask: Tensor | None, x: Float[Tensor, "B T C"]) -> Tensor | None:
    """Reshapes a mask (T, T) or (B, T, T) to (1, 1, T, T) or (B, 1, T, T), as attention needs it.

    Raises: ValueError for any other shape, and for a mask that is not bool: libraries disagree on
    the meaning of masks of numbers.
    """
    if mask is None:
        return None
    num_rows, size, _ = x.shape
    shapes = ((size, size), (num_rows, size, size))
    if mask.dtype != torch.bool or tuple(mask.shape) not in shapes:
        raise ValueError(
            f"mask must be torch.bool with shape {shapes[0]} or {shapes[1]}, true where a position "
            f"may be read, got {mask.dtype} with shape {tuple(mask.shape)}"
        )
    return mask.view(-1, 1, size, size)


class PositionalEncoding(nn.Module):
    """Adds the sinusoidal position vectors of `SinusoidalPositions`.

    Raises: ValueError for more positions than max_len.
    """

    def __init__(self, d_model: int, max_len: int = 5000) -> None:
        super().__init__()
        self.max_len = max_len
        self.positions = SinusoidalPositions(max_len, d_model)

    def forward(self, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B T C"]:
        size = x.shape[1]
        if size > self.max_len:
            raise ValueError(f"{size} positions, but max_len={self.max_len}")
        return self.positions(x, slice(0, size))


class MultiHeadSelfAttention(nn.Module):
    """Multi-head self-attention; every position reads all others unless a mask is False there.

    The mask is (T, T) or (B, T, T). `dropout` acts on the attention weights.

    Raises: ValueError if d_model is not divisible by num_heads, and for any other kind of mask.
    """

    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        check_heads(d_model, num_heads)
        self.attention = MultiHeadAttention(d_model, num_heads, causal=False, dropout=dropout)

    def forward(
        self, x: Float[Tensor, "B T C"], mask: Tensor | None = None
    ) -> Float[Tensor, "B T C"]:
        return self.attention(x, for_all_heads(mask, x))


class TransformerBlock(nn.Module):
    """Pre-norm block: x + dropout(f(norm(x))) for self-attention, then for a relu feed-forward.

    `dropout` also acts on the attention weights. Masks are as in `MultiHeadSelfAttention`.

    Raises: ValueError if d_model is not divisible by num_heads, and for any other kind of mask.
    """

    def __init__(
        self, d_model: int, num_heads: int, dim_feedforward: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        check_heads(d_model, num_heads)
        self.block = Block(
            MultiHeadAttention(d_model, num_heads, causal=False, dropout=dropout),
            make_feedforward("relu", d_model, dim_feedforward),
            partial(make_norm, "layernorm", d_model),
            dropout=dropout,
        )

    def forward(
        self, x: Float[Tensor, "B T C"], mask: Tensor | None = None
    ) -> Float[Tensor, "B T C"]:
        return self.block(x, for_all_heads(mask, x))


class ProductionTransformer(nn.Module):
    """Ids (B, T) -> logits (B, T, V), with the layers of arXiv:1706.03762.

    Embeddings times sqrt(d_model) plus sinusoidal positions, then num_layers blocks, then the head.
    With `tie_weights` the head uses the embedding's matrix (3.4). Unlike in the paper, the blocks
    are pre-norm, with a norm after the last block: this trains without warmup (Xiong et al. 2020,
    arXiv:2002.04745).

    With the mask `create_causal_mask(T)`, a position reads itself and those before it (a GPT); with
    `(x != padding)[:, None].expand(-1, T, -1)`, all but the padding (an encoder); with None, all.

    Raises: ValueError if d_model is not divisible by num_heads, for more positions than max_len,
    and for a mask that is not bool or has another shape than (T, T) or (B, T, T).
    """

    def __init__(
        self,
        vocab_size: int = 10000,
        d_model: int = 128,
        num_heads: int = 4,
        num_layers: int = 2,
        dim_feedforward: int = 512,
        dropout: float = 0.1,
        max_len: int = 5000,
        tie_weights: bool = True,
    ) -> None:
        super().__init__()
        self.embedding_scale = d_model**0.5
        self.token_embedding = nn.Embedding(vocab_size, d_model)
        self.position_embedding = PositionalEncoding(d_model, max_len)
        self.dropout = Dropout(dropout)
        self.blocks = nn.ModuleList(
            TransformerBlock(d_model, num_heads, dim_feedforward, dropout)
            for _ in range(num_layers)
        )
        self.final_norm = make_norm("layernorm", d_model)
        self.lm_head = nn.Linear(d_model, vocab_size, bias=False)
        if tie_weights:
            self.lm_head.weight = self.token_embedding.weight
        initialize_linears(self.blocks)
        for module in (self.token_embedding, self.lm_head):
            nn.init.normal_(module.weight, std=1 / self.embedding_scale)

    def forward(self, x: Int[Tensor, "B T"], mask: Tensor | None = None) -> Float[Tensor, "B T V"]:
        x = self.token_embedding(x) * self.embedding_scale
        x = self.dropout(self.position_embedding(x))
        for block in self.blocks:
            x = block(x, mask)
        return self.lm_head(self.final_norm(x))
