"""A GPT and its parts by name, for learners: sizes to begin with, and where to read on.

Every part here is one of `models/` with its sizes filled in: what you read there is what runs.
Read from the inside out: `SelfAttention`, `MultiHeadAttention`, `FeedForwardNetwork`, `Block`,
`Model`. Each reads no position after its own, as a language model must not, and takes x (B, T, C):
batch, positions, width (the letters are explained in `models/parts/attention.py`).
"""

from functools import partial

from jaxtyping import Float, Int
from torch import Tensor

from transformer.models.gpt import GPT
from transformer.models.parts import attention, layers

EMBEDDING_DIM, NUM_HEADS, DROPOUT = 384, 6, 0.2


class MultiHeadAttention(attention.MultiHeadAttention):
    """Several heads side by side, each looking for something else.

    Look at: how `forward` cuts one product into heads, (B, T, 3 C) -> three of (B, H, T, D), and
    how little is left to do once `attention` has run. The code is
    `models/parts/attention.py: MultiHeadAttention`. Try: the same width in 1, 2 and 6 heads has
    equally many parameters.
    """

    def __init__(
        self,
        embedding_dim: int = EMBEDDING_DIM,
        num_heads: int = NUM_HEADS,
        dropout: float = DROPOUT,
    ) -> None:
        super().__init__(embedding_dim, num_heads, causal=True, dropout=dropout)


class SelfAttention(MultiHeadAttention):
    """One head: each position asks (query), answers (key) and gives (value).

    Look at: `models/parts/attention.py: attention_weights`, softmax(Q K^T / sqrt(D)), and what the
    mask does to its rows; then `attention`, which takes the weighted mean of the values. The
    `output` matrix after it is there to mix heads, of which here is one. Try: change the last
    position of x, and see that what comes out changes there and nowhere before.
    """

    def __init__(self, embedding_dim: int = EMBEDDING_DIM, dropout: float = DROPOUT) -> None:
        super().__init__(embedding_dim, num_heads=1, dropout=dropout)


class FeedForwardNetwork(layers.FeedForward):
    """At each position alone: out to four times the width, relu, and back; then dropout.

    Look at: no position sees another here; what attention gathered is worked on in place. The code
    is `models/parts/layers.py: FeedForward`. Try: permute the positions of x, and see the output
    permuted and otherwise the same.
    """

    def __init__(self, embedding_dim: int = EMBEDDING_DIM, dropout: float = DROPOUT) -> None:
        super().__init__(embedding_dim, 4 * embedding_dim, "relu")
        self.dropout = layers.Dropout(dropout)

    def forward(self, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B T C"]:
        return self.dropout(super().forward(x))


class Block(layers.Block):
    """Attention, then feed-forward, each adding to x what it makes of the normalized x: pre-norm.

    Look at: `models/parts/layers.py: ResidualPaths.add`. x itself goes straight through, so
    gradients do too, however many blocks there are. Try: set both parts' `output` weights and
    biases to zero, and see that the block gives back x.
    """

    def __init__(
        self,
        embedding_dim: int = EMBEDDING_DIM,
        num_heads: int = NUM_HEADS,
        dropout: float = DROPOUT,
    ) -> None:
        super().__init__(
            MultiHeadAttention(embedding_dim, num_heads, dropout),
            FeedForwardNetwork(embedding_dim, dropout=0.0),  # the block drops what a part adds
            partial(layers.make_norm, "layernorm", embedding_dim),
            dropout=dropout,
        )


class Model(GPT):
    """A GPT of 65 symbols, as many as Tiny Shakespeare has, that reads 8 characters at a time.

    Look at: `models/gpt.py: GPT.forward`, one screen from ids to logits. What is in its `blocks`
    computes the same as `Block` here. Its loss before training is about ln 65 = 4.17 nats: it knows
    nothing yet. `train.py` trains a GPT of any size on any text.
    """

    def __init__(self) -> None:
        super().__init__(
            vocab_size=65,
            block_size=8,
            embedding_dim=EMBEDDING_DIM,
            num_heads=NUM_HEADS,
            num_blocks=6,
            activation="relu",
            dropout=DROPOUT,
        )

    # Fewer settings than GPT.generate has, under the names of the lesson.
    def generate(  # type: ignore[override]
        self, start_tokens: Int[Tensor, "B T"], max_length: int = 100, seed: int = 0
    ) -> Int[Tensor, "B _"]:
        """The start and max_length new ids of each row, drawn from what the model expects.

        Longer than the context is fine: the model sees the last few ids. Another `seed` draws
        otherwise. The loop is `decoding/loop.py: decode`.

        Raises: ValueError for ids that are no (B, T) or outside the vocabulary.
        """
        return super().generate(start_tokens, max_new_tokens=max_length, seed=seed)
