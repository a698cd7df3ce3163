"""How well an encoder-decoder does on pairs: its loss, and the error rates of its translations."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from transformer.data.tokenizers.pairs import PairTokenizer
from transformer.evaluation.error_rates import ErrorRates, has_stress, score_answers, without_stress
from transformer.models.base import evaluating
from transformer.models.encoder_decoder import EncoderDecoder
from transformer.special_ids import IGNORED


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


@torch.inference_mode()
def score_loss(model: EncoderDecoder, batches: Iterable[Sequence[Tensor]]) -> float:
    """The exact mean in nats over every token of the targets, their ends included; float32."""
    device = next(model.parameters()).device
    total, num_scored = 0.0, 0
    with evaluating(model):
        for batch in batches:
            source, tokens, targets = (part.to(device) for part in batch)
            logits = model(source, tokens).flatten(0, 1)
            losses = F.cross_entropy(
                logits, targets.flatten(), reduction="none", ignore_index=IGNORED
            )
            total += losses.cpu().double().sum().item()
            num_scored += int((targets != IGNORED).sum())
    return total / num_scored
