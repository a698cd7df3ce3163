"""Logits -> the next token."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


class Sampler:
    """Draws one token a row, the draws of row i depending on the seed and i alone.

    `temperature` divides the logits; 0 takes the likeliest token, the lowest id among equals.
    `top_k` keeps exactly the k likeliest, `top_p` the fewest that hold that much probability
    (Holtzman et al. 2020, arXiv:1904.09751), both decided with the lowest ids first among equals.

    Raises: ValueError for a negative temperature, top_k below 1 or top_p outside (0, 1].
    """

    def __init__(
        self,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int = 0,
    ) -> None:
        if not temperature >= 0:
            raise ValueError(f"temperature must be at least 0, got {temperature}")
        if top_k is not None and top_k < 1:
            raise ValueError(f"top_k must be at least 1, got {top_k}")
        if top_p is not None and not 0 < top_p <= 1:
            raise ValueError(f"top_p must be greater than 0 and at most 1, got {top_p}")
        self.temperature = temperature
        self.top_k = top_k
        self.top_p = top_p
        self.seed = seed
        self._generators: list[torch.Generator] = []

    def __call__(self, logits: Float[Tensor, "B V"]) -> Int[Tensor, " B"]:
        """Raises: ValueError for logits that are not finite.

        Probabilities are float64, so the CPU works them out where the device (mps) has none.
        """
        if not logits.isfinite().all():
            raise ValueError("the model's logits are not finite, so no token can be drawn")
        if self.temperature == 0:
            return logits.argmax(dim=-1)  # the first of equals
        wide = logits.cpu().double() if logits.device.type == "mps" else logits.double()
        values, order = wide.sort(dim=-1, descending=True, stable=True)
        probabilities = (values / self.temperature).softmax(dim=-1)
        kept = probabilities * self._kept(probabilities)
        cumulative = kept.cumsum(dim=-1)
        drawn = self._uniform(len(logits)).to(cumulative) * cumulative[:, -1:]
        ranks = (cumulative <= drawn).sum(dim=-1, keepdim=True)
        return order.gather(-1, ranks).squeeze(-1).to(logits.device)

    def _kept(self, probabilities: Float[Tensor, "B V"]) -> Tensor:
        """True for the ranks that top_k and top_p leave; the likeliest always stays."""
        ranks = torch.arange(probabilities.shape[-1], device=probabilities.device)
        kept = ranks < (self.top_k or len(ranks))
        if self.top_p is None:
            return kept
        probabilities = probabilities * kept
        probabilities = probabilities / probabilities.sum(dim=-1, keepdim=True)
        before = probabilities.cumsum(dim=-1) - probabilities
        return kept & (before < self.top_p)

    def _uniform(self, rows: int) -> Float[Tensor, "B 1"]:
        """Numbers in [0, 1), each from its row's own stream."""
        while len(self._generators) < rows:
            generator = torch.Generator()
            # Rows far apart in the seed space: neighbouring seeds share no rows.
            generator.manual_seed((self.seed * 0x9E3779B97F4A7C15 + len(self._generators)) % 2**63)
            self._generators.append(generator)
        draws = [torch.rand(1, generator=g, dtype=torch.float64) for g in self._generators[:rows]]
        return torch.stack(draws)
