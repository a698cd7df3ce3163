"""The base classes of the models."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Unpack

import torch
from jaxtyping import Int
from torch import Tensor, nn

from transformer.decoding.loop import decode
from transformer.decoding.sampling import Sampler
from transformer.decoding.settings import SamplingArguments
from transformer.models.families.base import Family
from transformer.models.parts.cache import Cache


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Puts a module into eval mode for the `with` block, then back into its earlier mode."""
    was_training = module.training
    if was_training:
        module.eval()
    try:
        yield
    finally:
        if was_training:
            module.train()


class SequenceModel(nn.Module):
    """Ids in, logits (B, T, V) out.

    `architecture` holds plain arguments; `build_model(**architecture)` makes a model of this kind.
    """

    def __init__(self, settings: Family) -> None:
        super().__init__()
        self.settings = settings
        self.architecture = settings.architecture
        self.block_size = settings.block_size


class TokenModel(SequenceModel):
    """Tokens (B, T) -> logits (B, T, V), for T up to block_size.

    With `forward(tokens, cache=...)`, the tokens follow the tokens in the cache.
    """

    def make_cache(self, num_rows: int) -> Cache:
        return Cache(num_rows, self.block_size, 0)

    def generate(
        self,
        tokens: Int[Tensor, "B T"],
        *,
        max_new_tokens: int,
        seed: int = 0,
        **sampling: Unpack[SamplingArguments],
    ) -> Int[Tensor, "B _"]:
        """Adds max_new_tokens to each row of tokens, in eval mode; see `Sampling`.

        Raises: ValueError if tokens are not (B, T) or not in the vocabulary, if settings are out of
        range, or if logits are not finite.
        """
        vocab_size = self.architecture["vocab_size"]
        if tokens.ndim != 2 or ((tokens < 0) | (tokens >= vocab_size)).any():
            raise ValueError(f"tokens must be (B, T) with ids from 0 to {vocab_size - 1}")
        sampler = Sampler(seed=seed, **sampling)
        with evaluating(self):
            steps = decode(self, list(tokens), max_new_tokens=max_new_tokens, sampler=sampler)
            return torch.cat((tokens, *(step.tokens[:, None] for step in steps)), dim=1)
