"""The encoder of "Attention is all you need" (arXiv:1706.03762, 3.1; left half of figure 1)."""

import numpy as np

from transformer.lessons.numpy_reference.functions import (
    Array,
    Floats,
    check_tokens,
    positional_encoding,
)
from transformer.lessons.numpy_reference.layers import (
    Composite,
    Dropout,
    Embedding,
    FeedForward,
    LayerNorm,
    MultiHeadAttention,
)


class EncoderLayer(Composite):
    """Self-attention, then feed-forward, each as LayerNorm(x + Dropout(part(x))): 3.1 and 5.4."""

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        d_ff: int,
        dropout: float = 0.0,
        generator: np.random.Generator | None = None,
    ) -> None:
        generator = generator or np.random.default_rng(0)
        self.attention = MultiHeadAttention(d_model, num_heads, generator)
        self.attention_dropout = Dropout(dropout, generator)
        self.attention_norm = LayerNorm(d_model)
        self.feedforward = FeedForward(d_model, d_ff, generator)
        self.feedforward_dropout = Dropout(dropout, generator)
        self.feedforward_norm = LayerNorm(d_model)
        super().__init__(
            attention=self.attention,
            attention_norm=self.attention_norm,
            feedforward=self.feedforward,
            feedforward_norm=self.feedforward_norm,
        )

    def forward(self, x: Array, mask: Array | None = None, training: bool = False) -> Floats:
        attended = self.attention.forward(x, x, x, mask)
        x = self.attention_norm.forward(x + self.attention_dropout.forward(attended, training))
        fed = self.feedforward.forward(x)
        return self.feedforward_norm.forward(x + self.feedforward_dropout.forward(fed, training))

    def backward(self, gradient: Floats) -> Floats:
        """x is read twice, by a part and by the residual path, so two gradients are added up."""
        gradient = self.feedforward_norm.backward(gradient)
        fed = self.feedforward_dropout.backward(gradient)
        gradient = self.attention_norm.backward(gradient + self.feedforward.backward(fed))
        attended = self.attention_dropout.backward(gradient)
        by_query, by_key, by_value = self.attention.backward(attended)
        return gradient + by_query + by_key + by_value


class Transformer(Composite):
    """Token ids -> vectors: embedding, sinusoidal positions, num_layers encoder layers.

    The generator draws the initial parameters, and later the dropout masks.

    Raises: ValueError if d_model is not divisible by num_heads, and for dropout outside [0, 1).
    """

    def __init__(
        self,
        num_layers: int,
        d_model: int,
        num_heads: int,
        d_ff: int,
        vocab_size: int,
        dropout: float = 0.0,
        generator: np.random.Generator | None = None,
    ) -> None:
        generator = generator or np.random.default_rng(0)
        self.vocab_size, self.d_model = vocab_size, d_model
        self.embedding = Embedding(vocab_size, d_model, generator)
        self.dropout = Dropout(dropout, generator)
        self.layers = [
            EncoderLayer(d_model, num_heads, d_ff, dropout, generator) for _ in range(num_layers)
        ]
        numbered = {f"layers.{number}": layer for number, layer in enumerate(self.layers)}
        super().__init__(embedding=self.embedding, **numbered)

    def forward(self, tokens: Array, mask: Array | None = None, training: bool = False) -> Floats:
        """Ids (B, T) -> vectors (B, T, C). The mask is (T, T) or (B, T, T); None: all are read.

        Raises: ValueError for tokens that are not ids (B, T), and for a mask that does not fit.
        """
        check_tokens(tokens, self.vocab_size)
        x = self.embedding.forward(tokens) + positional_encoding(tokens.shape[1], self.d_model)
        x = self.dropout.forward(x, training)
        for layer in self.layers:
            x = layer.forward(x, mask, training)
        return x

    def backward(self, gradient: Floats) -> None:
        """Computes `gradients` from dL/dy, where y is the output of the last `forward`."""
        for layer in reversed(self.layers):
            gradient = layer.backward(gradient)
        self.embedding.backward(self.dropout.backward(gradient))
