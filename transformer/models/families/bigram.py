"""The settings of the bigram model: it has only sizes."""

from dataclasses import dataclass

from transformer.models.families.base import Family


@dataclass(frozen=True, kw_only=True)
class BigramSettings(Family):
    name = "bigram"
    model_class = "transformer.models.bigram:Bigram"
