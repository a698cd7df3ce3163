from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.checkpoint import checkpoint

from transformer.models.parts.attention import (
    CrossAttention,
    FusedLinear,
    Mask,
    MultiHeadAttention,
)
from transformer.models.parts.cache import BlockCache
from transformer.models.parts.decoder_cache import CrossCache
from transformer.models.parts.dropout import Dropout

INITIAL_STD = 0.02  # Radford et al. 2018 (GPT), 4.1


def relu_squared(x: Tensor) -> Tensor:
    """max(0, x)^2: So et al. 2021 (arXiv:2109.08668)."""
    return F.relu(x).square()


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
    "relu": F.relu,
    "relu2": relu_squared,
}


class FeedForward(nn.Module):
    """W2 f(W1 x) with the activation f: arXiv:1706.03762, 3.3."""

    def __init__(
        self, embedding_dim: int, feedforward_dim: int, activation: str, *, bias: bool = True
    ) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]
        self.input = nn.Linear(embedding_dim, feedforward_dim, bias=bias)
        self.output = nn.Linear(feedforward_dim, embedding_dim, bias=bias)

    def forward(self, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B T C"]:
        return self.output(self.activation(self.input(x)))


def gated_silu(x: Float[Tensor, "*A G"]) -> Float[Tensor, "*A F"]:
    gate, value = x.chunk(2, dim=-1)
    return F.silu(gate) * value


class GatedFeedForward(nn.Module):
    """W2 (silu(Wg x) * W1 x), SwiGLU: Shazeer 2020 (arXiv:2002.05202); Wg and W1 are one matrix."""

    activation = staticmethod(gated_silu)

    def __init__(self, embedding_dim: int, feedforward_dim: int, *, bias: bool = True) -> None:
        super().__init__()
        self.input = FusedLinear(embedding_dim, (feedforward_dim, feedforward_dim), bias=bias)
        self.output = nn.Linear(feedforward_dim, embedding_dim, bias=bias)

    def forward(self, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B T C"]:
        return self.output(self.activation(self.input(x)))


def make_feedforward(
    activation: str, embedding_dim: int, feedforward_dim: int, *, bias: bool = True
) -> FeedForward | GatedFeedForward:
    """Raises: ValueError for an unknown activation, listing the known ones."""
    if activation == "swiglu":
        return GatedFeedForward(embedding_dim, feedforward_dim, bias=bias)
    if activation not in ACTIVATIONS:
        known = ", ".join([*ACTIVATIONS, "swiglu"])
        raise ValueError(f"activation must be one of {known}, got {activation!r}")
    return FeedForward(embedding_dim, feedforward_dim, activation, bias=bias)


def initialize_linears(module: nn.Module) -> None:
    """Glorot and Bengio 2010 for each matrix, also for those fused into one; zero for biases."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            fused = isinstance(part, FusedLinear)
            for matrix in part.weight.split(part.part_sizes if fused else part.out_features):
                nn.init.xavier_uniform_(matrix)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


class skipped_initialization(TorchFunctionMode):  # a context manager
    """Leaves new parameters uninitialized, as their values are about to be loaded.

    The operating system provides memory only when it is first written, so even a large model is
    built in an instant.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)


class ResidualPaths(nn.Module):
    """Adds the outputs of a block's parts to the residual stream.

    norm_first (pre-norm): x + f(norm(x)); otherwise (post-norm, as printed in arXiv:1706.03762,
    3.1): norm(x + f(x)). `dropout` acts on each part's output f(...): 5.4.
    """

    def __init__(self, *, norm_first: bool, dropout: float) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)
        self.norm_first = norm_first

    def add(self, x: Tensor, norm: nn.Module, part: Callable[[Tensor], Tensor]) -> Tensor:
        if self.norm_first:
            return x + self.dropout(part(norm(x)))
        return norm(x + self.dropout(part(x)))


def recompute_blocks(model: nn.Module) -> None:
    """In training each block keeps only its input, and the backward pass recomputes the rest.

    Chen et al. 2016 (arXiv:1604.06174).
    """
    for block in model.modules():
        if isinstance(block, ResidualPaths):
            block.forward = partial(_recomputed, block, block.forward)


def _recomputed(block: nn.Module, forward: Callable[..., Tensor], *inputs: Any) -> Tensor:
    if not (block.training and torch.is_grad_enabled()):
        return forward(*inputs)
    return checkpoint(forward, *inputs, use_reentrant=False)


class Block(ResidualPaths):
    """Self-attention, then feed-forward, each on a residual path."""

    def __init__(
        self,
        attention: MultiHeadAttention,
        feedforward: FeedForward | GatedFeedForward,
        norm: Callable[[], nn.Module],
        *,
        norm_first: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(norm_first=norm_first, dropout=dropout)
        self.attention_norm = norm()
        self.attention = attention
        self.feedforward_norm = norm()
        self.feedforward = feedforward

    def forward(
        self, x: Float[Tensor, "B T C"], mask: Mask | None = None, cache: BlockCache | None = None
    ) -> Float[Tensor, "B T C"]:
        x = self.add(x, self.attention_norm, lambda x: self.attention(x, mask, cache))
        return self.add(x, self.feedforward_norm, self.feedforward)

    def scale_outputs(self, num_blocks: int) -> None:
        """Initializes the output matrices smaller the more blocks add to the residual stream.

        Their std is INITIAL_STD / sqrt(2 num_blocks): Radford et al. 2019 (GPT-2), 2.3.
        """
        for part in (self.attention, self.feedforward):
            nn.init.normal_(part.output.weight, std=INITIAL_STD / (2 * num_blocks) ** 0.5)


class DecoderBlock(ResidualPaths):
    """Self-attention, then attention to a memory, then feed-forward: arXiv:1706.03762, 3.1."""

    def __init__(
        self,
        attention: MultiHeadAttention,
        cross_attention: CrossAttention,
        feedforward: FeedForward | GatedFeedForward,
        norm: Callable[[], nn.Module],
        *,
        norm_first: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(norm_first=norm_first, dropout=dropout)
        self.attention_norm = norm()
        self.attention = attention
        self.cross_attention_norm = norm()
        self.cross_attention = cross_attention
        self.feedforward_norm = norm()
        self.feedforward = feedforward

    def forward(
        self,
        x: Float[Tensor, "R T C"],
        memory: Float[Tensor, "B S C"],
        memory_mask: Mask | None = None,
        mask: Bool[Tensor, "#R #H #T _"] | None = None,
        cache: BlockCache | None = None,
        cross_cache: CrossCache | None = None,
    ) -> Float[Tensor, "R T C"]:
        """`memory_mask` is True where the memory may be read, `mask` where x may be read."""
        x = self.add(x, self.attention_norm, lambda x: self.attention(x, mask, cache))
        x = self.add(
            x,
            self.cross_attention_norm,
            lambda x: self.cross_attention(x, memory, memory_mask, cross_cache),
        )
        return self.add(x, self.feedforward_norm, self.feedforward)
