"""The error rates of translations, each against the accepted answers of its source. No torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from transformer.data.tokenizers.pairs import PairTokenizer
from transformer.evaluation.error_rates import ErrorRates, has_stress, score_answers, without_stress


@dataclass(frozen=True)
class PairScore:
    """Error rates; where answers are phones with stress marks, also of the same without them."""

    rates: ErrorRates
    rates_without_stress: ErrorRates | None


def score_translations(
    tokenizer: PairTokenizer,
    translations: Sequence[str],
    answers: Mapping[str, Sequence[str]],
) -> PairScore:
    """Of one translation for each source in `answers`, in that order; any of its answers counts."""
    split = tokenizer.target.split
    predictions = [split(translation) for translation in translations]
    accepted = [[split(answer) for answer in targets] for targets in answers.values()]
    rates = score_answers(predictions, accepted)
    if not has_stress(tokenizer.target.vocabulary):
        return PairScore(rates, None)
    bare = [[without_stress(answer) for answer in targets] for targets in accepted]
    return PairScore(rates, score_answers(list(map(without_stress, predictions)), bare))
