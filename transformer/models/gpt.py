"""The decoder-only transformer."""

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from transformer.models.base import BlockModel, TokenModel
from transformer.models.families.gpt import GPTSettings
from transformer.models.gpt_step import make_block_step
from transformer.models.parts.cache import Cache, Positions
from transformer.models.parts.dropout import Dropout
from transformer.models.parts.embeddings import NgramEmbedding, TokenShift
from transformer.models.parts.layers import INITIAL_STD, Block
from transformer.models.parts.positions import make_positions
from transformer.models.parts.recording import recorded_weights


class GPT(TokenModel, BlockModel):
    """Predicts the token after each token; no position reads a later one.

    Raises: ValueError for settings that contradict each other and for unknown names of parts.
    """

    has_attention = True
    settings: GPTSettings

    def __init__(self, settings: GPTSettings | None = None, **arguments: Any) -> None:
        """Takes `settings`, or the fields of `GPTSettings` as keyword arguments."""
        settings = settings or GPTSettings(**arguments)
        super().__init__(settings)
        vocab_size, width = settings.vocab_size, settings.embedding_dim
        self.token_embedding = NgramEmbedding(
            vocab_size,
            width,
            settings.ngram_size,
            settings.ngram_buckets,
            settings.ngram_vocab_size,
        )
        self.token_shift = TokenShift(width) if settings.token_shift else nn.Identity()
        # Earlier tokens that the embedding of a token depends on:
        self.num_tokens_before = settings.ngram_size - 1 + settings.token_shift
        self.position_embedding = make_positions(
            settings.positions, settings.block_size, width, gain=settings.position_gain
        )
        self.dropout = Dropout(settings.dropout)
        self.blocks = nn.ModuleList(self._make_block() for _ in range(settings.num_blocks))
        self.final_norm = self._make_norm() if settings.norm_first else nn.Identity()
        self.lm_head = nn.Linear(width, vocab_size, bias=settings.head_bias)
        if settings.tie_weights:
            self.lm_head.weight = self.token_embedding.weight
        self._initialize()

    def _make_block(self) -> Block:
        settings = self.settings
        attention = self._self_attention(settings.block_size, causal=True, dropout=settings.dropout)
        return Block(attention, **self._other_parts())

    def _initialize(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=INITIAL_STD)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
        for block in self.blocks:
            assert isinstance(block, Block)
            block.scale_outputs(self.settings.num_blocks)

    def forward(
        self,
        tokens: Int[Tensor, "B T"],
        mask: Bool[Tensor, "T T"] | Bool[Tensor, "B T T"] | None = None,
        cache: Cache | None = None,
    ) -> Float[Tensor, "B T V"]:
        """Logits of the token after each token.

        A position reads itself and earlier positions where `mask` (True = may be read) allows it.
        With a `cache`, the tokens follow the tokens in the cache and are added to it.

        Raises: ValueError for more than block_size tokens, and for a mask together with a cache.
        """
        num_new = tokens.shape[1]
        if num_new > self.block_size:
            raise ValueError(f"{num_new} tokens, but block_size={self.block_size}")
        positions: Positions = slice(0, num_new)
        if mask is not None and cache is not None:
            raise ValueError("give a mask or a cache, not both: a cache has its own mask")
        if mask is not None:
            mask = mask.expand(len(tokens), *mask.shape[-2:])[:, None]  # (B, 1, T, T)
        if cache is not None:
            tokens, mask = cache.extend(tokens, self.num_tokens_before)
            positions = cache.positions
        x = self.token_shift(self.token_embedding(tokens))[:, -num_new:]
        x = self.dropout(self.position_embedding(x, positions))
        if cache is not None and cache.steps and num_new == 1 and mask is None:
            x = x[:, 0]  # (B, C)
            for step, part in zip(cache.steps, cache.blocks, strict=True):
                x = step(x, part)
            x = x[:, None]
        else:
            for number, block in enumerate(self.blocks):
                x = block(x, mask, None if cache is None else cache.blocks[number])
        return self.lm_head(self.final_norm(x))

    def attention_weights(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "N B H T T"]:
        """How much each position reads from itself and each earlier one, in each block and head."""
        layers = [block.attention for block in self.blocks]
        with recorded_weights(layers) as maps:  # type: ignore[arg-type]
            self(tokens)
        return torch.stack(maps)

    def make_cache(self, num_rows: int) -> Cache:
        """In eval mode, the cache also holds faster functions for single tokens: `gpt_step.py`.

        These functions do not call the hooks of a block and its parts.
        """
        cache = Cache(num_rows, self.block_size, len(self.blocks))
        if not self.training:
            cache.steps = [make_block_step(block) for block in self.blocks]  # type: ignore[arg-type]
        return cache
