"""The transformer under the names that many tutorials use: `d_model`, `num_layers`, `max_len`.

Those names hold at this door alone. Behind it are the parts of `models/`, where the mathematics is.
"""

from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from transformer.models.parts.attention import MultiHeadAttention, causal_mask
from transformer.models.parts.layers import (
    Block,
    Dropout,
    initialize_linears,
    make_feedforward,
    make_norm,
)
from transformer.models.parts.positions import SinusoidalPositions


def create_causal_mask(seq_len: int, device: torch.device | None = None) -> Bool[Tensor, "T T"]:
    """True where a position may be read: itself and all before it."""
    return causal_mask(seq_len, device)


def check_heads(d_model: int, num_heads: int) -> None:
    """Raises: ValueError for heads that do not share the width evenly."""
    if num_heads < 1 or d_model % num_heads:
        raise ValueError(
            "d_model must be divisible by num_heads, "
            f"got d_model={d_model} and num_heads={num_heads}"
        )


def for_all_heads(mask: Tensor | None, x: Float[Tensor, "B T C"]) -> Tensor | None:
    """A mask (T, T) or (B, T, T) as (1, 1, T, T) or (B, 1, T, T), which attention takes.

    Raises: ValueError for any other shape and for numbers, whose meaning differs among libraries.
    """
    if mask is None:
        return None
    num_rows, size, _ = x.shape
    shapes = ((size, size), (num_rows, size, size))
    if mask.dtype != torch.bool or tuple(mask.shape) not in shapes:
        raise ValueError(
            f"mask must be torch.bool and {shapes[0]} or {shapes[1]}, true where a position may "
            f"be read, got {mask.dtype} and {tuple(mask.shape)}"
        )
    return mask.view(-1, 1, size, size)


class PositionalEncoding(nn.Module):
    """Adds to each of up to max_len positions its sines and cosines: `SinusoidalPositions`.

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
    """`MultiHeadAttention` that reads every position, but for what a mask (T, T) or (B, T, T) bars.

    `dropout` acts on the attention weights.

    Raises: ValueError for heads that do not share the width evenly and for another kind of mask.
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
    """`Block`, pre-norm with relu: self-attention and feed-forward, each x + dropout(f(norm(x))).

    `dropout` acts on the attention weights and on what each part adds. Masks are those of
    `MultiHeadSelfAttention`.

    Raises: ValueError for heads that do not share the width evenly and for another kind of mask.
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
    """Ids (B, T) -> logits (B, T, V): the stack of arXiv:1706.03762 that an encoder or a GPT is.

    Embeddings times sqrt(d_model) plus sinusoidal positions, then num_layers blocks, then the head,
    which is the embedding's matrix with `tie_weights`: 3.4. Unlike the paper's, the blocks are
    pre-norm, with a norm after the last, which trains without warmup (Xiong et al. 2020,
    arXiv:2002.04745).

    A mask says what a position may read: `create_causal_mask(T)` itself and what is before it,
    `(x != padding)[:, None].expand(-1, T, -1)` all that is no padding, None everything.

    Raises: ValueError for heads that do not share the width evenly, more positions than max_len,
    and a mask that is not bool or neither (T, T) nor (B, T, T).
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
        """Logits at each position; `mask` is true where a position may be read."""
        x = self.token_embedding(x) * self.embedding_scale
        x = self.dropout(self.position_embedding(x))
        for block in self.blocks:
            x = block(x, mask)
        return self.lm_head(self.final_norm(x))
