"""Error rates of predicted sequences; each may have several accepted answers."""

import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

CONFIDENCE = 0.95  # the probability that an interval contains the true rate
NUM_RESAMPLES = 1000
# ARPAbet vowels as in CMUdict: 0 is no stress, 1 primary, 2 secondary.
_STRESSED = re.compile("(AA|AE|AH|AO|AW|AY|EH|ER|EY|IH|IY|OW|OY|UH|UW)[012]")


@dataclass(frozen=True)
class ErrorRates:
    """Errors in words and in their units, such as phonemes.

    A word is wrong if it equals none of its answers. `unit_edits` counts the insertions, deletions
    and substitutions that turn words into their nearest answers; of equally near answers, the
    longest is used. `num_units` is the total length of these answers. So a unit error rate can be
    above 1.
    """

    num_words: int
    word_errors: int
    unit_edits: int
    num_units: int
    unit_error_interval: tuple[float, float]

    @property
    def word_error_rate(self) -> float:
        return self.word_errors / self.num_words

    @property
    def unit_error_rate(self) -> float:
        return self.unit_edits / self.num_units

    @property
    def word_error_interval(self) -> tuple[float, float]:
        return wilson_interval(self.word_errors, self.num_words)

    def as_dict(self) -> dict[str, Any]:
        derived = ("word_error_rate", "word_error_interval", "unit_error_rate")
        return asdict(self) | {name: getattr(self, name) for name in derived}


def score_answers(
    predictions: Sequence[Sequence[str]], answers: Sequence[Sequence[Sequence[str]]]
) -> ErrorRates:
    """Compares prediction i, a list of units, with `answers[i]`, its accepted answers.

    Raises: ValueError for no predictions, different numbers of predictions and answers, a word
    without an answer, or an answer without units.
    """
    if len(predictions) != len(answers):
        raise ValueError(f"{len(predictions)} predictions, but answers for {len(answers)} words")
    if not predictions:
        raise ValueError("no predictions to score")
    for number, accepted in enumerate(answers):
        if not accepted or not all(accepted):
            raise ValueError(f"word {number} has no answer, or an answer without units")
    nearest = [nearest_answer(*pair) for pair in zip(predictions, answers, strict=True)]
    counts = np.array(nearest, dtype=np.int64)  # edits and units of each word
    unit_edits, num_units = counts.sum(axis=0).tolist()
    return ErrorRates(
        num_words=len(counts),
        word_errors=int(np.count_nonzero(counts[:, 0])),
        unit_edits=unit_edits,
        num_units=num_units,
        unit_error_interval=bootstrap_interval(counts),
    )


def nearest_answer(prediction: Sequence[str], accepted: Sequence[Sequence[str]]) -> tuple[int, int]:
    """Edits to the nearest answer, and its length; of equally near answers, the longest."""
    return min(
        ((Levenshtein.distance(prediction, answer), len(answer)) for answer in accepted),
        key=lambda pair: (pair[0], -pair[1]),
    )


def wilson_interval(num_hits: float | int, number: int) -> tuple[float, float]:
    """The CONFIDENCE interval of a rate, such as a word error rate, if words are independent.

    The score interval of Wilson 1927, "Probable inference, the law of succession, and statistical
    inference". Unlike a bootstrap interval, it is wider than 0 if no word is wrong, or every word.
    Hits may be halves, as for ties: then the interval is wider than it need be.
    """
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    rate, shrink = num_hits / number, 1 + z**2 / number
    center = rate + z**2 / (2 * number)
    half = z * math.sqrt(rate * (1 - rate) / number + z**2 / (4 * number**2))
    low, high = (center - half) / shrink, (center + half) / shrink
    return min(rate, max(0.0, low)), max(rate, min(1.0, high))  # rounding may pass rates 0 and 1


def bootstrap_interval(counts: NDArray[np.int64], seed: int = 0) -> tuple[float, float]:
    """The CONFIDENCE interval of sum(edits) / sum(units); `counts` has both for each word.

    The percentiles of NUM_RESAMPLES samples with replacement, each with the same number of words:
    Efron 1979, "Bootstrap methods: another look at the jackknife"; for error rates Bisani and Ney
    2004, "Bootstrap estimates for confidence intervals in ASR performance evaluation". A sample
    has whole words, because edits in one word depend on each other. Without edits, both ends are 0.
    """
    # A sample is the number of times that each distinct row is drawn; distinct rows are few.
    rows, frequencies = np.unique(counts, axis=0, return_counts=True)
    draws = np.random.default_rng(seed).multinomial(
        len(counts), frequencies / len(counts), size=NUM_RESAMPLES
    )
    edits, units = (draws @ rows).T
    low, high = np.quantile(edits / units, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def without_stress(units: Sequence[str]) -> list[str]:
    """Removes the stress digit of ARPAbet vowels: AH0 becomes AH."""
    return [unit[:-1] if _STRESSED.fullmatch(unit) else unit for unit in units]


def has_stress(units: Sequence[str]) -> bool:
    return any(_STRESSED.fullmatch(unit) for unit in units)
