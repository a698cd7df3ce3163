"""Draws the next token from logits."""

from collections.abc import Sequence
from typing import Unpack

import torch
from jaxtyping import Float, Int
from torch import Tensor

from transformer.decoding.settings import Sampling, SamplingArguments

_AHEAD = 64  # random numbers drawn at once


class NotFiniteError(ValueError):
    """Some logits are NaN or infinite."""


class Sampler:
    """Draws one token for each row. The random numbers of row i depend on the seed and i alone.

    Raises: ValueError like `Sampling`.
    """

    def __init__(self, *, seed: int = 0, **settings: Unpack[SamplingArguments]) -> None:
        self.settings = Sampling(**settings)
        self.seed = seed
        self._generators: list[torch.Generator] = []
        self._ahead = torch.zeros(0, _AHEAD)
        self._num_drawn = 0
        self._prompts: Sequence[Tensor] = ()
        self._seen: Tensor | None = None  # (B, V), True for the tokens that a row already has

    def start(self, prompts: Sequence[Int[Tensor, " _"]]) -> None:
        """Starts new rows with these prompts, and each row's random numbers from the first."""
        self._generators = []
        self._prompts, self._seen = prompts, None

    def __call__(self, logits: Float[Tensor, "B V"]) -> Int[Tensor, " B"]:
        """Draws with float64 probabilities, on the CPU for mps, which has no float64.

        Raises: NotFiniteError.
        """
        require_finite(logits)
        penalty = self.settings.repetition_penalty
        if penalty == 1:
            return self._draw(logits)
        if self._seen is None:
            self._seen = torch.zeros_like(logits, dtype=torch.bool)
            for row, prompt in zip(self._seen, self._prompts, strict=False):
                row[prompt] = True
        rarer = torch.where(logits > 0, 1 / penalty, penalty)
        drawn = self._draw(torch.where(self._seen, logits * rarer, logits))
        self._seen.scatter_(1, drawn[:, None], True)
        return drawn

    def _draw(self, logits: Float[Tensor, "B V"]) -> Int[Tensor, " B"]:
        settings = self.settings
        if settings.temperature == 0:
            return logits.argmax(dim=-1)  # of equal logits, the first
        wide = logits.cpu().double() if logits.device.type == "mps" else logits.double()
        if settings.temperature != 1:
            # The largest logit becomes 0, so a temperature near 0 does not make it infinite.
            wide = (wide - wide.amax(dim=-1, keepdim=True)) / settings.temperature
        if settings.top_k is settings.top_p is settings.min_p is None:
            return self._inverse(wide.softmax(dim=-1)).to(logits.device)
        values, order = wide.sort(dim=-1, descending=True, stable=True)
        probabilities = values.softmax(dim=-1)
        ranks = self._inverse(probabilities * self._kept(probabilities))
        return order.gather(-1, ranks[:, None]).squeeze(-1).to(logits.device)

    def _inverse(self, weights: Float[Tensor, "B V"]) -> Int[Tensor, " B"]:
        """The first index where a row's cumulative sum exceeds a random part of its total."""
        cumulative = weights.cumsum(dim=-1)
        drawn = self._uniform(len(weights)).to(cumulative.device) * cumulative[:, -1:]
        return torch.searchsorted(cumulative, drawn, right=True).squeeze(-1)

    def _kept(self, probabilities: Float[Tensor, "B V"]) -> Tensor:
        """True for the ranks that top_k, top_p and min_p keep; they always keep the likeliest."""
        ranks = torch.arange(probabilities.shape[-1], device=probabilities.device)
        kept = ranks < min(self.settings.top_k or len(ranks), len(ranks))
        if self.settings.top_p is not None:
            among = probabilities * kept
            among = among / among.sum(dim=-1, keepdim=True)
            kept = kept & (among.cumsum(dim=-1) - among < self.settings.top_p)
        if self.settings.min_p is not None:
            kept = kept & (probabilities >= self.settings.min_p * probabilities[:, :1])
        return kept

    def _uniform(self, rows: int) -> Float[Tensor, "B 1"]:
        """Random numbers in [0, 1), each from its row's own generator.

        If the number of rows changes, all generators start again.
        """
        if rows != len(self._generators):
            self._generators = [
                torch.Generator().manual_seed(_stream_seed(self.seed, row)) for row in range(rows)
            ]
            self._num_drawn = 0
        column = self._num_drawn % _AHEAD
        if column == 0:
            self._ahead = torch.stack(
                [torch.rand(_AHEAD, generator=g, dtype=torch.float64) for g in self._generators]
            )
        self._num_drawn += 1
        return self._ahead[:, column : column + 1]


def require_finite(logits: Float[Tensor, "B V"]) -> None:
    """Raises: NotFiniteError."""
    # Their extremes are NaN or infinite too, and take one pass; isfinite takes several.
    if not torch.stack(logits.aminmax()).isfinite().all():
        raise NotFiniteError("the model's logits are not finite, so no token can be chosen")


def _stream_seed(seed: int, row: int) -> int:
    """Mixes seed and row into 32 bits, since torch's CPU generator reads no more (splitmix64)."""
    mixed = (seed * 0x9E3779B97F4A7C15 + (row + 1) * 0xD1B54A32D192ED03) % 2**64
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB % 2**64
    return (mixed ^ mixed >> 31) >> 32
