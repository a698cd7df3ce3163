"""Position encodings: learned or sinusoidal vectors, or rotary queries and keys.

`positions` are those of the T tokens in x: a slice for all rows, or a number per token (B, T).
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from transformer.models.families.base import ROTARY_BASE
from transformer.models.parts.cache import Positions

_BASE = 10000.0  # arXiv:1706.03762, 3.5
_INITIAL_STD = 0.02  # the same as for a GPT's token embeddings


class NoPositions(nn.Module):
    def __init__(self, *_: int) -> None:
        super().__init__()

    def forward(self, x: Tensor, positions: Positions) -> Tensor:
        return x


class LearnedPositions(nn.Module):
    def __init__(self, block_size: int, embedding_dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(block_size, embedding_dim))
        nn.init.normal_(self.weight, std=_INITIAL_STD)

    def forward(self, x: Float[Tensor, "B T C"], positions: Positions) -> Float[Tensor, "B T C"]:
        return x + self.weight[positions]

    @torch.no_grad()
    def start_as_sinusoids(self) -> None:
        """For tokens of variance 1, beside which a std of 0.02 has little effect at first."""
        self.weight.copy_(sinusoids(*self.weight.shape))

    def similarity(self) -> Float[Tensor, "T T"]:
        """The cosine of the angle between each two positions' vectors."""
        directions = F.normalize(self.weight, dim=-1)
        return directions @ directions.mT


class SinusoidalPositions(nn.Module):
    """Adds a fixed table of sines and cosines: arXiv:1706.03762, 3.5."""

    table: Tensor

    def __init__(self, block_size: int, embedding_dim: int) -> None:
        super().__init__()
        self.register_buffer("table", sinusoids(block_size, embedding_dim), persistent=False)

    def forward(self, x: Float[Tensor, "B T C"], positions: Positions) -> Float[Tensor, "B T C"]:
        return x + self.table[positions].to(x.dtype)


class ScaledSinusoidalPositions(SinusoidalPositions):
    """Sinusoids times a learned number, which starts so that they are as large as the tokens.

    The mean square of sines and cosines is 1/2, far more than that of a GPT's token embeddings. Li
    et al. 2019 (arXiv:1809.08895), 3.2, have the same learned number, and start it at 1.
    """

    def __init__(self, block_size: int, embedding_dim: int) -> None:
        super().__init__(block_size, embedding_dim)
        self.gain = nn.Parameter(torch.full((1,), _INITIAL_STD * 2**0.5))

    def forward(self, x: Float[Tensor, "B T C"], positions: Positions) -> Float[Tensor, "B T C"]:
        return x + (self.gain * self.table[positions]).to(x.dtype)


class RotaryPositions(nn.Module):
    """Rotates the pair (i, i + D/2) of a head's numbers at position t by t x frequency i.

    Su et al. 2021 (arXiv:2104.09864), eq. 34, but with the halves paired, as in Llama and Qwen3,
    not neighbors. The product of a rotated query and key depends only on their distance. By
    default, the frequencies are those of `rotary_frequencies`.

    Raises: ValueError for an odd head_dim, which has no pairs.
    """

    cos: Tensor
    sin: Tensor

    def __init__(
        self, block_size: int, head_dim: int, frequencies: Float[Tensor, " P"] | None = None
    ) -> None:
        super().__init__()
        if head_dim % 2:
            raise ValueError(f"rotary positions need an even head_dim, got head_dim={head_dim}")
        if frequencies is None:
            frequencies = rotary_frequencies(head_dim)
        angles = _angles(block_size, frequencies)
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


# Modules that add a position's vector to the token's; rotary acts within attention instead.
POSITIONS = {
    "learned": LearnedPositions,
    "sinusoidal": SinusoidalPositions,
    "rotary": NoPositions,
    "none": NoPositions,
}


def make_positions(
    name: str, block_size: int, embedding_dim: int, *, gain: bool = False
) -> nn.Module:
    """With `gain`, a learned number scales sinusoids; learned vectors do not need it.

    Raises: ValueError for an unknown name, listing the known ones.
    """
    if name not in POSITIONS:
        raise ValueError(f"positions must be one of {', '.join(POSITIONS)}, got {name!r}")
    kind = POSITIONS[name]
    if gain and kind is SinusoidalPositions:
        kind = ScaledSinusoidalPositions
    return kind(block_size, embedding_dim)


def sinusoids(size: int, dim: int) -> Float[Tensor, "T C"]:
    """PE(t, 2i) = sin(t / 10000^(2i/C)), PE(t, 2i+1) = cos of the same: arXiv:1706.03762, 3.5."""
    angles = _angles(size, _frequencies(dim, _BASE))
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)[:, :dim]


def rotary_frequencies(
    head_dim: int, base: float = ROTARY_BASE, scaling: Sequence[float] | None = None
) -> Float[Tensor, " P"]:
    """base^(-2i/D) radians a position for each pair i: arXiv:2104.09864, 3.2.2. In float64.

    `scaling` stretches them for contexts longer than those of training, as Llama 3.1 does (Dubey et
    al. 2024, arXiv:2407.21783). It is a factor, two further numbers low and high, and the length L
    of the contexts of training. A pair that turns fewer than `low` times within L turns `factor`
    times slower, one that turns more than `high` times keeps its frequency, and those between are
    interpolated by their number of turns.
    """
    frequencies = _frequencies(head_dim, base)
    if scaling is None:
        return frequencies
    factor, low, high, length = scaling
    turns = length * frequencies / (2 * math.pi)
    kept = ((turns - low) / (high - low)).clamp(0, 1)
    return kept * frequencies + (1 - kept) * frequencies / factor


# On the CPU even if a model is made on the meta device: nothing would fill these in later.
_NUMBERS = {"dtype": torch.float64, "device": "cpu"}


def _frequencies(dim: int, base: float) -> Float[Tensor, " P"]:
    return base ** -(torch.arange(0, dim, 2, **_NUMBERS) / dim)


def _angles(size: int, frequencies: Float[Tensor, " P"]) -> Float[Tensor, "T P"]:
    """Position t times each frequency: in float64, then cast to the default dtype."""
    angles = torch.arange(size, **_NUMBERS)[:, None] * frequencies
    return angles.to(torch.get_default_dtype())
