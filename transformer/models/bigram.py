"""The floor to beat: the next token from the last one alone."""

from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from transformer.models.base import TokenModel
from transformer.models.families.bigram import BigramSettings
from transformer.models.parts.cache import Cache


class Bigram(TokenModel):
    """One row of logits a token, V x V in all; zeros to start with, so the first loss is ln V.

    Trained to its best it reaches the conditional entropy of a character given the one before.
    """

    def __init__(self, settings: BigramSettings | None = None, **arguments: Any) -> None:
        settings = settings or BigramSettings(**arguments)
        super().__init__(settings)
        self.next_token = nn.Embedding(settings.vocab_size, settings.vocab_size)
        nn.init.zeros_(self.next_token.weight)

    def forward(
        self, tokens: Int[Tensor, "B T"], cache: Cache | None = None
    ) -> Float[Tensor, "B T V"]:
        if cache is not None:
            cache.extend(tokens)
        return self.next_token(tokens)
