"""How tokens are chosen: the settings of sampling and of beam search. Imports no torch."""

from dataclasses import dataclass
from typing import TypedDict

TEMPERATURE = 0.8  # of texts that are shown to people, where they ask for no other


class SamplingArguments(TypedDict, total=False):
    """The fields of `Sampling` as keyword arguments."""

    temperature: float
    top_k: int | None
    top_p: float | None
    min_p: float | None
    repetition_penalty: float


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn from the model's logits.

    `repetition_penalty` divides the positive logits of the tokens that a row holds already, prompt
    included, and multiplies the negative ones (Keskar et al. 2019, arXiv:1909.05858, 4.1, for
    logits of either sign). `temperature` divides the logits; 0 takes the likeliest token, the
    lowest id among equals. `top_k` keeps the k likeliest tokens. `top_p` keeps the fewest of these
    that hold this probability (Holtzman et al. 2020, arXiv:1904.09751). Both keep the lowest ids
    among equals. `min_p` keeps tokens at least this share as likely as the likeliest (Nguyen et
    al. 2024, arXiv:2407.01082).

    Raises: ValueError for a negative temperature, top_k below 1, top_p outside (0, 1], min_p
    outside [0, 1], and a penalty outside [0.001, 1000].
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
    """How beam search looks for a target: see `beam_search`."""

    num_beams: int = 1
    length_penalty: float = 0.6  # arXiv:1706.03762, 6.1
