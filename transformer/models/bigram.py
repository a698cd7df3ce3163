"""The bigram model, a baseline: it predicts the next token from the last token alone."""

from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from transformer.models.base import TokenModel
from transformer.models.families.bigram import BigramSettings
from transformer.models.parts.cache import Cache


class Bigram(TokenModel):
    """A table (V, V): row i holds the logits of the token after token i.

    The table starts with zeros, so the first loss is ln V. On its training text, the lowest loss it
    can reach is the conditional entropy of a token given the previous token.
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
