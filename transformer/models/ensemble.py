"""Several models as one, which predicts with the mean of their probabilities."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from transformer.models.base import TokenModel
from transformer.models.parts.cache import Cache


class EnsembleCache:
    """A cache of each member; all hold the same tokens. For `decoding/loop.py`, as one `Cache`."""

    def __init__(self, caches: Sequence[Cache]) -> None:
        self.caches = caches
        self.lengths = list(caches[0].lengths)

    @property
    def tokens(self) -> Int[Tensor, "B _"]:
        """Up to the smallest block_size."""
        return min(self.caches, key=lambda cache: cache.block_size).tokens

    def clear(self) -> None:
        self.lengths = [0] * len(self.lengths)

    def put(self, rows: list[int], other: "EnsembleCache") -> None:
        """Replaces these rows by the rows of another cache of the same ensemble."""
        for row, length in zip(rows, other.lengths, strict=True):
            self.lengths[row] = length
        for ours, theirs in zip(self.shared(), other.shared(), strict=True):
            ours.put(rows, theirs)

    def shared(self) -> Sequence[Cache]:
        """The caches, with the lengths that a caller may have set here."""
        for cache in self.caches:
            cache.lengths = list(self.lengths)
        return self.caches


def _size(model: TokenModel) -> tuple[bool, int]:
    return model.has_attention, model.num_parameters


class Ensemble(TokenModel):
    """Logits are the logarithms of the mean of the members' probabilities, so they add up to 1.

    ln (1/M sum_m softmax(logits_m)). Its loss is at most the mean of the members' losses, as -ln is
    convex (Jensen's inequality). The members have one vocabulary and are trained already; the
    block_size is the smallest of theirs.

    `architecture` is that of the largest member, of those with attention if there are any: by it,
    number formats are chosen. It does not build an ensemble.

    Raises: ValueError without members, and for different sizes of vocabulary.
    """

    def __init__(self, members: Sequence[TokenModel]) -> None:
        sizes = {member.architecture["vocab_size"] for member in members}
        if len(sizes) != 1:
            raise ValueError(f"members must have one vocab_size, got {sorted(sizes)}")
        largest = max(members, key=_size)
        super().__init__(largest.settings)
        self.block_size = min(member.block_size for member in members)
        self.has_attention = any(member.has_attention for member in members)
        self._members = nn.ModuleList(members)
        self.eval()

    @property
    def members(self) -> Sequence[TokenModel]:
        return list(self._members)  # type: ignore[arg-type]

    def forward(
        self, tokens: Int[Tensor, "B T"], cache: EnsembleCache | None = None
    ) -> Float[Tensor, "B T V"]:
        caches = [None] * len(self._members) if cache is None else cache.shared()
        total: Tensor | None = None
        for member, own in zip(self._members, caches, strict=True):
            logits = member(tokens, cache=own)
            if logits.dtype not in (torch.float32, torch.float64):
                logits = logits.float()
            logits = logits.log_softmax(dim=-1)
            total = logits if total is None else torch.logaddexp(total, logits)
        if cache is not None:
            cache.lengths = list(cache.caches[0].lengths)
        assert total is not None
        return total - math.log(len(self._members))

    def make_cache(self, num_rows: int) -> EnsembleCache:  # type: ignore[override]
        return EnsembleCache([member.make_cache(num_rows) for member in self.members])
