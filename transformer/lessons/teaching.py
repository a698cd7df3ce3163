"""A small GPT and its parts for learners, with default sizes.

Each class here is a class of `models/` with its sizes filled in, so read the code there. Read from
the inside out: `SelfAttention`, `MultiHeadAttention`, `FeedForwardNetwork`, `Block`, `Model`. The
parts take x (B, T, C): batch, positions, width (`models/parts/attention.py` explains the letters).
No position sees a later one, because a language model predicts the next token.
"""

from functools import partial

from jaxtyping import Float, Int
from torch import Tensor

from transformer.models.gpt import GPT
from transformer.models.parts import attention, layers
from transformer.models.parts.dropout import Dropout
from transformer.models.parts.norms import make_norm

EMBEDDING_DIM, NUM_HEADS, DROPOUT = 384, 6, 0.2


class MultiHeadAttention(attention.MultiHeadAttention):
    """Several attention heads in parallel; each can learn to look for something different.

    The code is `models/parts/attention.py: MultiHeadAttention`.
    Look at: `forward` splits the result of one matrix product, (B, T, 3 C), into queries, keys and
    values, each (B, H, T, D). After `attention` it only joins the heads and applies `output`.
    Try: count the parameters for 1, 2 and 6 heads of the same total width: the number is the same.
    """

    def __init__(
        self,
        embedding_dim: int = EMBEDDING_DIM,
        num_heads: int = NUM_HEADS,
        dropout: float = DROPOUT,
    ) -> None:
        super().__init__(embedding_dim, num_heads, causal=True, dropout=dropout)


class SelfAttention(MultiHeadAttention):
    """One attention head.

    Each position makes three vectors: a query (what it looks for), a key (what it offers to others)
    and a value (what the others read from it).
    Look at: `models/parts/attention.py: attention_weights`, softmax(Q K^T / sqrt(D)), and how the
    mask changes its rows. Then look at `attention`, which takes the weighted mean of the values.
    The `output` matrix after it mixes several heads; here there is only one.
    Try: change the last position of x. Only the last position of the output changes.
    """

    def __init__(self, embedding_dim: int = EMBEDDING_DIM, dropout: float = DROPOUT) -> None:
        super().__init__(embedding_dim, num_heads=1, dropout=dropout)


class FeedForwardNetwork(layers.FeedForward):
    """Linear to four times the width, relu, linear back to the width, then dropout.

    The code is `models/parts/layers.py: FeedForward`.
    Look at: it treats each position separately; only attention moves information between them.
    Try: permute the positions of x. The output is permuted in the same way and does not change
    otherwise.
    """

    def __init__(self, embedding_dim: int = EMBEDDING_DIM, dropout: float = DROPOUT) -> None:
        super().__init__(embedding_dim, 4 * embedding_dim, "relu")
        self.dropout = Dropout(dropout)

    def forward(self, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B T C"]:
        return self.dropout(super().forward(x))


class Block(layers.Block):
    """Pre-norm block: x + attention(norm(x)), then x + feedforward(norm(x)).

    Look at: `models/parts/layers.py: ResidualPaths.add`. x itself passes through unchanged, so
    gradients flow back through any number of blocks.
    Try: set the `output` weights and biases of both parts to zero. The block then returns x.
    """

    def __init__(
        self,
        embedding_dim: int = EMBEDDING_DIM,
        num_heads: int = NUM_HEADS,
        dropout: float = DROPOUT,
    ) -> None:
        super().__init__(
            MultiHeadAttention(embedding_dim, num_heads, dropout),
            FeedForwardNetwork(embedding_dim, dropout=0.0),  # the block itself applies dropout
            partial(make_norm, "layernorm", embedding_dim),
            dropout=dropout,
        )


class Model(GPT):
    """A GPT with a context of 8 characters and 65 symbols, the number that Tiny Shakespeare has.

    Look at: `models/gpt.py: GPT.forward`, from ids to logits on one screen. Its `blocks` compute
    the same as `Block` here.
    Try: measure its loss before training. It is about ln 65 = 4.17 nats, as for a random guess.
    `train.py` trains a GPT of any size on any text.
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

    # The signature differs: fewer arguments than GPT.generate, with the lesson's names.
    def generate(  # type: ignore[override]
        self, start_tokens: Int[Tensor, "B T"], max_length: int = 100, seed: int = 0
    ) -> Int[Tensor, "B _"]:
        """Returns start_tokens followed by max_length new ids, sampled from the model's softmax.

        The total may be longer than the context: the model then sees the last 8 ids only. `seed`
        fixes the random choices. The loop is `decoding/loop.py: decode`.

        Raises: ValueError for ids that do not have shape (B, T) or lie outside the vocabulary.
        """
        return super().generate(start_tokens, max_new_tokens=max_length, seed=seed)
