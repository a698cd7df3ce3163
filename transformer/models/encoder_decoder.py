"""The encoder-decoder of "Attention is all you need" (arXiv:1706.03762)."""

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from transformer.models.base import BlockModel
from transformer.models.families.encoder_decoder import EncoderDecoderSettings
from transformer.models.parts.attention import CrossAttention
from transformer.models.parts.cache import Positions
from transformer.models.parts.decoder_cache import DecoderCache
from transformer.models.parts.dropout import Dropout
from transformer.models.parts.embeddings import NgramEmbedding
from transformer.models.parts.layers import Block, DecoderBlock, initialize_linears
from transformer.models.parts.positions import LearnedPositions, make_positions
from transformer.models.parts.recording import recorded_weights
from transformer.special_ids import PADDING

# Guesses of the CTC head at each source position. A target may be longer than its source.
GUESSES = 2


class EncoderDecoder(BlockModel):
    """Reads a source and the first tokens of a target; predicts the target token after each.

    The encoder and the decoder have num_blocks blocks each. The paper has sinusoidal positions,
    layernorm, relu, post-norm, `shared_vocabulary` (one embedding for both sides) and `tie_weights`
    (the embedding is the output head too: 3.4). Embeddings are scaled by sqrt(C). `dropout` acts on
    the embeddings and on the output of each part before it is added to the residual stream (5.4).

    In training, `target_dropout` hides this fraction of the tokens that the decoder reads, but not
    their positions, so that it must read the source: the word dropout of Bowman et al. 2016
    (arXiv:1511.06349), 3.1. With a `ctc_weight`, a second head on the memory predicts the whole
    target at once: the joint training of Kim et al. 2017 (arXiv:1609.06773). Decoding does not use
    this head. A target may have block_size tokens; one more position holds BEGIN.

    Raises: ValueError for settings that contradict each other and for unknown names of parts.
    """

    settings: EncoderDecoderSettings

    def __init__(self, settings: EncoderDecoderSettings | None = None, **arguments: Any) -> None:
        """Takes `settings`, or the fields of `EncoderDecoderSettings` as keyword arguments."""
        settings = settings or EncoderDecoderSettings(**arguments)
        super().__init__(settings)
        size, width, vocab_size = settings.block_size, settings.embedding_dim, settings.vocab_size
        self.embedding_scale = width**0.5
        self.target_dropout = settings.target_dropout
        self.num_tokens_before = settings.ngram_size - 1  # earlier tokens that an embedding needs
        ngrams = (settings.ngram_size, settings.ngram_buckets)
        self.token_embedding = NgramEmbedding(vocab_size, width, *ngrams)
        self.source_embedding = self.token_embedding
        if not settings.shared_vocabulary:
            self.source_embedding = NgramEmbedding(settings.source_vocab_size, width, *ngrams)
        self.source_positions = make_positions(settings.positions, size, width)
        self.position_embedding = make_positions(settings.positions, size + 1, width)
        self.dropout = Dropout(settings.dropout)
        numbers = range(settings.num_blocks)
        self.encoder_blocks = nn.ModuleList(self._encoder_block() for _ in numbers)
        self.encoder_norm = self._make_norm() if settings.norm_first else nn.Identity()
        self.decoder_blocks = nn.ModuleList(self._decoder_block() for _ in numbers)
        self.final_norm = self._make_norm() if settings.norm_first else nn.Identity()
        self.lm_head = nn.Linear(width, vocab_size, bias=False)
        self.ctc_head = None
        if settings.ctc_weight:
            self.ctc_head = nn.Linear(width, GUESSES * vocab_size, bias=False)
        if settings.tie_weights:
            self.lm_head.weight = self.token_embedding.weight
        self._initialize()

    def _encoder_block(self) -> Block:
        attention = self._self_attention(self.settings.block_size + 1, causal=False)
        return Block(attention, **self._other_parts())

    def _decoder_block(self) -> DecoderBlock:
        cross_attention = CrossAttention(**self._heads())
        attention = self._self_attention(self.settings.block_size + 1, causal=True)
        return DecoderBlock(attention, cross_attention, **self._other_parts())

    def _initialize(self) -> None:
        """Embeddings and the output head are N(0, 1 / C), learned positions start as sinusoids.

        So scaled embeddings and logits have variance 1, and positions have mean square 1/2.
        """
        initialize_linears(self)
        for module in (self.source_embedding, self.token_embedding, self.lm_head):
            nn.init.normal_(module.weight, std=1 / self.embedding_scale)
        for positions in (self.source_positions, self.position_embedding):
            if isinstance(positions, LearnedPositions):
                positions.start_as_sinusoids()

    def forward(
        self, source: Int[Tensor, "B S"], tokens: Int[Tensor, "B T"], *, guess: bool = False
    ) -> Float[Tensor, "B T V"] | tuple[Float[Tensor, "B T V"], Float[Tensor, "B G V"]]:
        """Logits of the target token after each of `tokens`; PADDING in a source is not read.

        With `guess`, also the logits of the CTC head, at G = GUESSES * S places.

        Raises: ValueError for a source over block_size tokens or a target over block_size + 1.
        """
        mask = source_mask(source)
        memory = self.encode(source, mask)
        logits = self.decode(tokens, memory, mask)
        if not guess:
            return logits
        assert self.ctc_head is not None, "a guess needs a ctc_weight"
        return logits, self.ctc_head(memory).unflatten(-1, (GUESSES, -1)).flatten(1, 2)

    def encode(
        self, source: Int[Tensor, "B S"], mask: Bool[Tensor, "B 1 1 S"]
    ) -> Float[Tensor, "B S C"]:
        if source.shape[1] > self.block_size:
            raise ValueError(
                f"{source.shape[1]} tokens in a source, but block_size={self.block_size}"
            )
        x = self.source_embedding(source) * self.embedding_scale
        x = self.dropout(self.source_positions(x, slice(0, source.shape[1])))
        for block in self.encoder_blocks:
            x = block(x, mask)
        return self.encoder_norm(x)

    def decode(
        self,
        tokens: Int[Tensor, "R T"],
        memory: Float[Tensor, "B S C"],
        memory_mask: Bool[Tensor, "B 1 1 S"],
        cache: DecoderCache | None = None,
    ) -> Float[Tensor, "R T V"]:
        """Logits of the token after each token; with a `cache`, tokens follow those in the cache.

        Several neighboring rows of tokens may read one row of the memory.
        """
        num_rows, num_new = tokens.shape
        if num_new > self.block_size + 1:
            raise ValueError(f"{num_new} tokens, but block_size + 1 = {self.block_size + 1}")
        positions: Positions = slice(0, num_new)
        mask = None
        if cache is not None:
            tokens, mask = cache.extend(tokens, self.num_tokens_before)
            positions = cache.positions
        x = self._embed_target(tokens)[:, -num_new:]
        if cache is not None:  # a cache has one row for all K beams of a source: (B, K T, C)
            x = x.reshape(len(memory), -1, x.shape[2])
        x = self.dropout(self.position_embedding(x, positions))
        for number, block in enumerate(self.decoder_blocks):
            kept = (None, None) if cache is None else (cache.blocks[number], cache.cross[number])
            x = block(x, memory, memory_mask, mask, *kept)
        logits = self.lm_head(self.final_norm(x))
        if cache is None:
            return logits
        logits = logits.reshape(-1, num_new, logits.shape[2])
        # An empty cache reads equal rows of a source only once.
        return logits.repeat_interleave(num_rows // len(logits), dim=0)

    def _embed_target(self, tokens: Int[Tensor, "R T"]) -> Float[Tensor, "R T C"]:
        """The scaled embeddings of tokens; in training, zeros where target_dropout hides a token.

        In an n-gram, PADDING stands for a hidden token, as for the places before the first token.
        """
        if not (self.training and self.target_dropout):
            return self.token_embedding(tokens) * self.embedding_scale
        shown = torch.rand(*tokens.shape, 1, device=tokens.device) >= self.target_dropout
        tokens = tokens.masked_fill(~shown[..., 0], PADDING)
        return self.token_embedding(tokens) * self.embedding_scale * shown

    def given(self, source: Int[Tensor, "B S"], most: int | None = None) -> "ConditionedDecoder":
        """A model of the target's next token, for decoding up to `most` tokens."""
        return ConditionedDecoder(self, source, most or self.block_size + 1)

    def cross_attention_weights(
        self, source: Int[Tensor, "B S"], tokens: Int[Tensor, "B T"]
    ) -> Float[Tensor, "N B H T S"]:
        """How much each target position reads from each source position, by block and head."""
        layers = [block.cross_attention for block in self.decoder_blocks]
        with recorded_weights(layers) as maps:  # type: ignore[arg-type]
            self(source, tokens)
        return torch.stack(maps)


class ConditionedDecoder:
    """An encoder-decoder with a fixed source; decoding uses it like a language model."""

    def __init__(self, model: EncoderDecoder, source: Int[Tensor, "B S"], block_size: int) -> None:
        self.model = model
        self.mask = source_mask(source)
        self.memory = model.encode(source, self.mask)
        self.block_size = block_size

    def make_cache(self, num_rows: int) -> DecoderCache:
        """Each source has equally many rows, next to each other."""
        sizes = {"block_size": self.block_size, "num_blocks": len(self.model.decoder_blocks)}
        return DecoderCache(self.memory, self.mask, num_rows=num_rows, **sizes)

    def __call__(
        self, tokens: Int[Tensor, "R T"], *, cache: DecoderCache | None = None
    ) -> Float[Tensor, "R T V"]:
        if cache is None:
            return self.model.decode(tokens, self.memory, self.mask)
        return self.model.decode(tokens, cache.memory, cache.memory_mask, cache)


def source_mask(source: Int[Tensor, "B S"]) -> Bool[Tensor, "B 1 1 S"]:
    return (source != PADDING)[:, None, None]
