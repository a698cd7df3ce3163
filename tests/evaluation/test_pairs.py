"""Error rates of translations by hand-made cases, and the loss beside every pair by itself."""

import pytest
import torch
import torch.nn.functional as F

from transformer.data.tokenizers.pairs import PairTokenizer, UnitTokenizer
from transformer.evaluation.loss import mean_loss
from transformer.evaluation.pairs import score_translations
from transformer.special_ids import BEGIN, END, IGNORED, PADDING

pytestmark = pytest.mark.parity
ANSWERS = {
    "cat": ["K AE1 T"],
    "read": ["R IY1 D", "R EH1 D"],
    "kitten": ["K IH1 T AH0 N"],
}


def tokenizer_of(target):
    return PairTokenizer(UnitTokenizer("characters", [*"acdeiknrt"]), target)


PHONES = tokenizer_of(UnitTokenizer("words", "K AE1 AE0 T R IY1 EH1 D IH1 AH0 AH1 N".split()))


def counts(rates):
    return rates.num_words, rates.word_errors, rates.unit_edits, rates.num_units


@pytest.mark.parametrize(
    ("translations", "expected", "expected_without_stress"),
    [
        (["K AE1 T", "R IY1 D", "K IH1 T AH0 N"], (3, 0, 0, 11), (3, 0, 0, 11)),
        (["K AE1 T", "R EH1 D", "K IH1 T AH0 N"], (3, 0, 0, 11), (3, 0, 0, 11)),
        (["K AE0 T", "R EH1 D", "K IH1 T AH1 N"], (3, 2, 2, 11), (3, 0, 0, 11)),
        (["K T", "R AE0 D", "K IH1 T AH1 N T"], (3, 3, 4, 11), (3, 3, 3, 11)),
        (["", "", ""], (3, 3, 11, 11), (3, 3, 11, 11)),
    ],
)
def test_phones_are_scored_with_and_without_their_stress(
    translations, expected, expected_without_stress
):
    score = score_translations(PHONES, translations, ANSWERS)
    assert counts(score.rates) == expected
    assert counts(score.rates_without_stress) == expected_without_stress


def test_answers_that_stress_alone_tells_apart_are_one_without_it():
    answers = {"a": ["AH0", "AH1 N"]}
    score = score_translations(PHONES, ["AH0 N"], answers)
    assert counts(score.rates) == (1, 1, 1, 2)  # of equally near answers the longest
    assert counts(score.rates_without_stress) == (1, 0, 0, 2)


def test_targets_without_stress_have_one_score():
    letters = tokenizer_of(UnitTokenizer("characters", [*"acdeiknrt"]))
    score = score_translations(letters, ["tac", "dear"], {"cat": ["tac"], "read": ["daer"]})
    assert counts(score.rates) == (2, 1, 2, 7)
    assert score.rates_without_stress is None


def test_another_number_of_translations_than_sources_is_refused():
    with pytest.raises(ValueError, match="2 predictions, but answers for 3 words"):
        score_translations(PHONES, ["K AE1 T", "R IY1 D"], ANSWERS)


def padded(rows, fill):
    tensors = [torch.tensor(row) for row in rows]
    return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=fill)


@pytest.mark.parametrize("training", [True, False])
def test_the_loss_is_the_mean_over_all_targets_of_all_pairs(
    float64, make_encoder_decoder, training
):
    """Not that of the batches' means: one has two pairs of other lengths, the other has three."""
    model = make_encoder_decoder(dropout=0.5).train(training)
    pairs = [
        ([3, 9, 4], [5]),
        ([16], [4, 12, 7, 7, 3]),
        ([7, 7, 8, 3, 11], [3, 9]),
        ([5, 6], []),
        ([12, 10, 9, 8, 7, 6, 5], [8, 8, 8, 6, 11, 12, 4]),
    ]
    batches = [
        (
            padded([source for source, _ in part], PADDING),
            padded([[BEGIN, *target] for _, target in part], PADDING),
            padded([[*target, END] for _, target in part], IGNORED),
        )
        for part in (pairs[:2], pairs[2:])
    ]
    loss = mean_loss(model, batches)[0]
    assert model.training == training
    losses = []
    with torch.no_grad():
        for source, target in pairs:
            logits = model.eval()(torch.tensor([source]), torch.tensor([[BEGIN, *target]]))
            losses += F.cross_entropy(
                logits[0], torch.tensor([*target, END]), reduction="none"
            ).tolist()
    assert len(losses) == 15 + len(pairs)
    assert loss == pytest.approx(sum(losses) / len(losses), abs=1e-10)
