"""The floor to beat: the next token from the last one alone."""

from jaxtyping import Float, Int
from torch import Tensor, nn

from transformer.models.base import TokenModel
from transformer.models.parts.cache import Cache


class Bigram(TokenModel):
    """One row of logits a token, V x V in all; zeros to start with, so the first loss is ln V.

    Trained to its best it reaches the conditional entropy of a character given the one before.
    """

    def __init__(self, *, vocab_size: int, block_size: int) -> None:
        super().__init__()
        self.architecture = {"model": "bigram", "vocab_size": vocab_size, "block_size": block_size}
        self.block_size = block_size
        self.next_token = nn.Embedding(vocab_size, vocab_size)
        nn.init.zeros_(self.next_token.weight)

    def forward(
        self, tokens: Int[Tensor, "B T"], cache: Cache | None = None
    ) -> Float[Tensor, "B T V"]:
        if cache is not None:
            cache.extend(tokens)
        return self.next_token(tokens)
