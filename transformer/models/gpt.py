"""The decoder-only transformer."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from transformer.models.base import TokenModel
from transformer.models.gpt_step import make_block_step
from transformer.models.parts.attention import MultiHeadAttention, recorded_weights
from transformer.models.parts.cache import Cache, Positions
from transformer.models.parts.embeddings import NgramEmbedding, TokenShift
from transformer.models.parts.layers import INITIAL_STD, Block, Dropout, make_feedforward, make_norm
from transformer.models.parts.positions import RotaryPositions, make_positions
from transformer.special_ids import default_feedforward_dim

_NOT_ARGUMENTS = ("self", "__class__")


class GPT(TokenModel):
    """Tokens -> logits of the token that follows each: no position reads a later one.

    `position_gain` scales sinusoidal positions by a learned number: `ScaledSinusoidalPositions`.

    Raises: ValueError for sizes that do not fit each other and for unknown names of parts.
    """

    def __init__(
        self,
        *,
        vocab_size: int,
        block_size: int,
        embedding_dim: int,
        num_heads: int,
        num_blocks: int,
        positions: str = "learned",
        norm: str = "layernorm",
        norm_first: bool = True,
        qk_norm: bool = False,
        activation: str = "gelu",
        feedforward_dim: int | None = None,
        dropout: float = 0.0,
        bias: bool = True,
        tie_weights: bool = True,
        ngram_size: int = 1,
        ngram_buckets: int = 8192,
        token_shift: bool = False,
        position_gain: bool = True,
    ) -> None:
        # The first line, so that the locals are the arguments and nothing else.
        arguments = {name: value for name, value in locals().items() if name not in _NOT_ARGUMENTS}
        super().__init__()
        arguments["feedforward_dim"] = feedforward_dim or default_feedforward_dim(
            embedding_dim, activation
        )
        self.architecture = {"model": "gpt"} | arguments
        self.block_size = block_size
        self.token_embedding = NgramEmbedding(vocab_size, embedding_dim, ngram_size, ngram_buckets)
        self.token_shift = TokenShift(embedding_dim) if token_shift else nn.Identity()
        self.num_tokens_before = ngram_size - 1 + token_shift  # that an embedding reads
        self.position_embedding = make_positions(
            positions, block_size, embedding_dim, gain=position_gain
        )
        self.dropout = Dropout(dropout)
        self.blocks = self._make_blocks()
        self.final_norm = self._make_norm() if norm_first else nn.Identity()
        self.lm_head = nn.Linear(embedding_dim, vocab_size, bias=False)
        if tie_weights:
            self.lm_head.weight = self.token_embedding.weight
        self._initialize()

    def _make_norm(self) -> nn.Module:
        shape = self.architecture
        return make_norm(shape["norm"], shape["embedding_dim"], bias=shape["bias"])

    def _make_blocks(self) -> nn.ModuleList:
        shape = self.architecture
        width, num_heads = shape["embedding_dim"], shape["num_heads"]
        common = {name: shape[name] for name in ("bias", "dropout", "qk_norm")}
        if shape["positions"] == "rotary":
            common["rotate"] = RotaryPositions(shape["block_size"], width // num_heads)
        forward = (shape["activation"], width, shape["feedforward_dim"])
        return nn.ModuleList(
            Block(
                MultiHeadAttention(width, num_heads, causal=True, **common),
                make_feedforward(*forward, bias=shape["bias"]),
                self._make_norm,
                norm_first=shape["norm_first"],
                dropout=shape["dropout"],
            )
            for _ in range(shape["num_blocks"])
        )

    def _initialize(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=INITIAL_STD)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
        for block in self.blocks:
            assert isinstance(block, Block)
            block.scale_outputs(self.architecture["num_blocks"])

    def forward(
        self,
        tokens: Int[Tensor, "B T"],
        mask: Bool[Tensor, "T T"] | Bool[Tensor, "B T T"] | None = None,
        cache: Cache | None = None,
    ) -> Float[Tensor, "B T V"]:
        """Logits after each token; `mask` takes away from what causality lets a position read.

        With a `cache` (and no mask), the tokens follow on those that it holds, and join them.

        Raises: ValueError for more tokens than block_size and for a mask beside a cache.
        """
        num_new = tokens.shape[1]
        if num_new > self.block_size:
            raise ValueError(f"{num_new} tokens, but block_size={self.block_size}")
        positions: Positions = slice(0, num_new)
        if mask is not None and cache is not None:
            raise ValueError("a mask does not go with a cache, which has its own")
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
        """What each position reads from itself and those before, in each block and head."""
        layers = [block.attention for block in self.blocks]
        with recorded_weights(layers) as maps:  # type: ignore[arg-type]
            self(tokens)
        return torch.stack(maps)

    def make_cache(self, num_rows: int) -> Cache:
        """Outside training, single tokens take a shorter way through the blocks: `gpt_step.py`.

        Hooks of a block and its parts are not called on it.
        """
        cache = Cache(num_rows, self.block_size, len(self.blocks))
        if not self.training:
            cache.steps = [make_block_step(block) for block in self.blocks]  # type: ignore[arg-type]
        return cache
