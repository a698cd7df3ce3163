"""Scores translations against the accepted answers of their sources. Imports no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from transformer.data.tokenizers.pairs import PairTokenizer
from transformer.evaluation.error_rates import ErrorRates, has_stress, score_answers, without_stress


@dataclass(frozen=True)
class PairScore:
    """Error rates; if answers are phones with stress marks, also without these marks."""

    rates: ErrorRates
    rates_without_stress: ErrorRates | None


def score_translations(
    tokenizer: PairTokenizer, translations: Sequence[str], answers: Mapping[str, Sequence[str]]
) -> PairScore:
    """Scores one translation for each source in `answers`, in this order."""
    split = tokenizer.target.split
    predictions = [split(translation) for translation in translations]
    accepted = [[split(answer) for answer in targets] for targets in answers.values()]
    rates = score_answers(predictions, accepted)
    if not has_stress(tokenizer.target.words):
        return PairScore(rates, None)
    bare = [[without_stress(answer) for answer in targets] for targets in accepted]
    return PairScore(rates, score_answers(list(map(without_stress, predictions)), bare))
