"""How a model tells positions apart: learned or sinusoidal vectors, or rotary queries and keys.

`positions` says where the T columns of x stand: a slice for all rows, or a number each (B, T).
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from transformer.models.cache import Positions

_BASE = 10000.0  # arXiv:1706.03762, 3.5; arXiv:2104.09864, 3.2.2


class NoPositions(nn.Module):
    """Leaves everything as it is."""

    def __init__(self, *_: int) -> None:
        super().__init__()

    def forward(self, x: Tensor, positions: Positions) -> Tensor:
        return x


class LearnedPositions(nn.Module):
    """Adds a trained vector for each of block_size positions."""

    def __init__(self, block_size: int, embedding_dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(block_size, embedding_dim))
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, x: Float[Tensor, "B T C"], positions: Positions) -> Float[Tensor, "B T C"]:
        return x + self.weight[positions]

    def similarity(self) -> Float[Tensor, "T T"]:
        """The cosine between each two positions' vectors: 1 where they point the same way."""
        directions = F.normalize(self.weight, dim=-1)
        return directions @ directions.mT


class SinusoidalPositions(nn.Module):
    """Adds PE(t, 2i) = sin(t / 10000^(2i/C)) and PE(t, 2i+1) = cos of the same: 1706.03762, 3.5."""

    table: Tensor

    def __init__(self, block_size: int, embedding_dim: int) -> None:
        super().__init__()
        angles = position_angles(block_size, embedding_dim)
        table = torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)[:, :embedding_dim]
        self.register_buffer("table", table, persistent=False)

    def forward(self, x: Float[Tensor, "B T C"], positions: Positions) -> Float[Tensor, "B T C"]:
        return x + self.table[positions].to(x.dtype)


class RotaryPositions(nn.Module):
    """Turns the pair (i, i + D/2) of a head's numbers at position t by t / 10000^(2i/D).

    Su et al. 2021 (arXiv:2104.09864), eq. 34, with the halves paired as in Llama and Qwen3 rather
    than neighbors. Products of turned queries and keys depend on the distance of positions alone.

    Raises: ValueError for an odd head_dim, which has no pairs.
    """

    cos: Tensor
    sin: Tensor

    def __init__(self, block_size: int, head_dim: int) -> None:
        super().__init__()
        if head_dim % 2:
            raise ValueError(f"rotary positions need an even head_dim, got head_dim={head_dim}")
        angles = position_angles(block_size, head_dim)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(
        self, x: Float[Tensor, "B H T D"], positions: Positions
    ) -> Float[Tensor, "B H T D"]:
        cos, sin = (table[positions].to(x.dtype) for table in (self.cos, self.sin))
        if cos.ndim == 3:  # (B, T, D / 2), the same for all heads
            cos, sin = cos[:, None], sin[:, None]
        first, second = x.chunk(2, dim=-1)
        return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


# What adds a position's vector to the token's; rotary acts within attention instead.
POSITIONS = {
    "learned": LearnedPositions,
    "sinusoidal": SinusoidalPositions,
    "rotary": NoPositions,
    "none": NoPositions,
}


def make_positions(name: str, block_size: int, embedding_dim: int) -> nn.Module:
    """Raises: ValueError for an unknown name, listing the known ones."""
    if name not in POSITIONS:
        raise ValueError(f"positions must be one of {', '.join(POSITIONS)}, got {name!r}")
    return POSITIONS[name](block_size, embedding_dim)


def position_angles(size: int, dim: int) -> Float[Tensor, "T P"]:
    """t / 10000^(2i/dim) for positions t and pairs i: computed in float64, given in the default.

    On the CPU even where a model is made on the meta device: nothing would fill these in later.
    """
    numbers = {"dtype": torch.float64, "device": "cpu"}
    frequencies = _BASE ** -(torch.arange(0, dim, 2, **numbers) / dim)
    angles = torch.arange(size, **numbers)[:, None] * frequencies
    return angles.to(torch.get_default_dtype())
