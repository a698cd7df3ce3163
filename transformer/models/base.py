"""The base classes of the models."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Unpack

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from transformer.decoding.loop import decode
from transformer.decoding.sampling import Sampler
from transformer.decoding.settings import SamplingArguments
from transformer.models.families.base import Family
from transformer.models.parts.attention import MultiHeadAttention
from transformer.models.parts.cache import Cache
from transformer.models.parts.layers import make_feedforward
from transformer.models.parts.norms import make_norm
from transformer.models.parts.positions import RotaryPositions, rotary_frequencies


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

    @property
    def num_parameters(self) -> int:
        """All of them, frozen ones too; a shared one counts once."""
        return sum(parameter.numel() for parameter in self.parameters())


class BlockModel(SequenceModel):
    """Makes the parts of the blocks of a GPT or an encoder-decoder from its settings."""

    settings: Any  # TransformerSettings; each model names its own class

    def _make_norm(self) -> nn.Module:
        settings = self.settings
        return make_norm(
            settings.norm, settings.embedding_dim, bias=settings.bias, eps=settings.norm_eps
        )

    def _self_attention(
        self, num_positions: int, *, causal: bool, dropout: float = 0.0
    ) -> MultiHeadAttention:
        if not hasattr(self, "rotation"):  # one table for all blocks
            self.rotation = self._make_rotation(num_positions)
        rotate = self.rotation
        given = {"causal": causal, "dropout": dropout, "rotate": rotate}
        return MultiHeadAttention(**self._heads(), **given)

    def _make_rotation(self, num_positions: int) -> RotaryPositions | None:
        settings = self.settings
        if settings.positions != "rotary":
            return None
        frequencies = rotary_frequencies(
            settings.head_dim, settings.rotary_base, settings.rotary_scaling
        )
        return RotaryPositions(num_positions, settings.head_dim, frequencies)

    def _heads(self) -> dict[str, Any]:
        """The arguments that all kinds of attention have."""
        settings = self.settings
        return {
            "embedding_dim": settings.embedding_dim,
            "num_heads": settings.num_heads,
            "num_kv_heads": settings.num_kv_heads,
            "head_dim": settings.head_dim,
            "bias": settings.bias,
            "qk_norm": settings.qk_norm,
            "norm_eps": settings.norm_eps,
        }

    def _other_parts(self) -> dict[str, Any]:
        settings = self.settings
        sizes = settings.embedding_dim, settings.feedforward_dim
        return {
            "feedforward": make_feedforward(settings.activation, *sizes, bias=settings.bias),
            "norm": self._make_norm,
            "norm_first": settings.norm_first,
            "dropout": settings.dropout,
        }


class TokenModel(SequenceModel):
    """Tokens (B, T) -> logits (B, T, V), for T up to block_size.

    With `forward(tokens, cache=...)`, the tokens follow the tokens in the cache.
    """

    has_attention: bool = False

    @property
    def members(self) -> Sequence["TokenModel"]:
        """The models whose probabilities it averages: itself, unless it is an ensemble."""
        return [self]

    def attention_weights(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "N B H T T"]:
        """How much each position reads from each, by block and head: 0 blocks without attention."""
        return torch.zeros(0, len(tokens), 0, tokens.shape[1], tokens.shape[1])

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
