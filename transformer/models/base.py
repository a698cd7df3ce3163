"""What every model here has in common."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar, Unpack

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from transformer.decoding.loop import decode
from transformer.decoding.sampling import Sampler
from transformer.decoding.settings import SamplingArguments
from transformer.models.families.base import Family
from transformer.models.parts.cache import Cache


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Eval mode within, and the mode that it was in before afterwards."""
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

    `architecture` holds plain arguments with which `build_model` makes the same model again.
    """

    def __init__(self, settings: Family) -> None:
        super().__init__()
        self.settings = settings
        self.architecture = settings.architecture
        self.block_size = settings.block_size


class TokenModel(SequenceModel):
    """Tokens (B, T) -> logits (B, T, V), for T up to block_size.

    `forward(tokens, cache=...)` goes on after the tokens that a cache holds.
    """

    has_attention: ClassVar[bool] = False

    def attention_weights(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "N B H T T"]:
        """How much each position reads from each, by block and head: 0 blocks without attention."""
        return torch.zeros(0, len(tokens), 0, tokens.shape[1], tokens.shape[1])

    def make_cache(self, num_rows: int) -> Cache:
        """An empty one."""
        return Cache(num_rows, self.block_size, 0)

    def generate(
        self,
        tokens: Int[Tensor, "B T"],
        *,
        max_new_tokens: int,
        seed: int = 0,
        **sampling: Unpack[SamplingArguments],
    ) -> Int[Tensor, "B _"]:
        """The tokens and max_new_tokens more of each row, in eval mode; see `Sampling`.

        Raises: ValueError for tokens that are no (B, T) or outside the vocabulary, for settings out
        of range and for logits that are not finite.
        """
        vocab_size = self.architecture["vocab_size"]
        if tokens.ndim != 2 or ((tokens < 0) | (tokens >= vocab_size)).any():
            raise ValueError(f"tokens must be (B, T) with ids from 0 to {vocab_size - 1}")
        sampler = Sampler(seed=seed, **sampling)
        with evaluating(self):
            steps = decode(self, list(tokens), max_new_tokens=max_new_tokens, sampler=sampler)
            return torch.cat((tokens, *(step.tokens[:, None] for step in steps)), dim=1)
