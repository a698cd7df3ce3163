"""Healing of a prompt that ends within what would be one token."""

from collections.abc import Sequence
from dataclasses import asdict
from functools import cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

from transformer.data.tokenizers.base import Tokenizer
from transformer.decoding.sampling import Sampler
from transformer.generation.continuation import Continuation

_NEVER = -1e30  # a logit; finite, as a sampler refuses others


class HealingSampler(Sampler):
    """Draws as `sampler`, from tokens that begin with the bytes that a row's prompt still lacks.

    A token that is a beginning of these bytes is allowed too; the next one then gives the rest.
    """

    def __init__(
        self, sampler: Sampler, rows: Sequence[Continuation], tokenizer: Tokenizer
    ) -> None:
        super().__init__(seed=sampler.seed, **asdict(sampler.settings))
        self._rows = rows
        parts = [tokenizer.bytes_of(token) for token in range(tokenizer.vocab_size)]

        @cache
        def fitting(wanted: bytes) -> Tensor:
            fits = (part and (part.startswith(wanted) or wanted.startswith(part)) for part in parts)
            return torch.tensor([bool(fit) for fit in fits])

        self._fitting = fitting

    def __call__(self, logits: Float[Tensor, "B V"]) -> Int[Tensor, " B"]:
        if any(row.healed for row in self._rows):
            fits = torch.stack([self._fitting(row.healed) for row in self._rows])
            healed = torch.tensor([bool(row.healed) for row in self._rows])
            logits = logits.masked_fill((~fits & healed[:, None]).to(logits.device), _NEVER)
        return super().__call__(logits)
