"""The settings of sampling and of beam search. Imports no torch."""

from dataclasses import dataclass
from typing import TypedDict

TEMPERATURE = 0.8  # the default for texts that the scripts and training show


class SamplingArguments(TypedDict, total=False):
    temperature: float
    top_k: int | None
    top_p: float | None
    min_p: float | None
    repetition_penalty: float


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn from the model's logits.

    `repetition_penalty` acts on tokens that the row already has, prompt included: it divides
    positive logits and multiplies negative ones (Keskar et al. 2019, arXiv:1909.05858, 4.1, here
    for logits of either sign). `temperature` divides the logits; 0 chooses the likeliest token, and
    the lowest id among equally likely ones.

    `top_k` keeps the k likeliest tokens. `top_p` keeps the smallest number of the likeliest tokens
    whose probabilities add up to `top_p` (Holtzman et al. 2020, arXiv:1904.09751). Both prefer
    lower ids among equally likely tokens. `min_p` keeps a token if its probability is at least
    `min_p` times the largest one (Nguyen et al. 2024, arXiv:2407.01082).

    Raises: ValueError for a temperature below 0, top_k below 1, top_p outside (0, 1], min_p outside
    [0, 1], or repetition_penalty outside [0.001, 1000].
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        if not self.temperature >= 0:
            raise ValueError(f"temperature must be at least 0, got {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k must be at least 1, got {self.top_k}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be greater than 0 and at most 1, got {self.top_p}")
        if self.min_p is not None and not 0 <= self.min_p <= 1:
            raise ValueError(f"min_p must be at least 0 and at most 1, got {self.min_p}")
        if not 1e-3 <= self.repetition_penalty <= 1e3:
            raise ValueError(
                f"repetition_penalty must be between 0.001 and 1000, got {self.repetition_penalty}"
            )


@dataclass(frozen=True)
class Search:
    num_beams: int = 1
    length_penalty: float = 0.6  # arXiv:1706.03762, 6.1
