"""An explanation has the losses, the probabilities and the attention of the model itself."""

import math

import numpy as np
import pytest
import torch

from transformer.data.tokenizers.characters import CharacterTokenizer
from transformer.data.tokenizers.pairs import PairTokenizer, UnitTokenizer
from transformer.evaluation.loss import mean_loss
from transformer.evaluation.text import score_model
from transformer.generation.translation import Translator
from transformer.inspection.explanation import Explanation, Unit, explain_text, explain_translation
from transformer.models.bigram import Bigram
from transformer.special_ids import BEGIN, END
from transformer.system.errors import UserError

pytestmark = pytest.mark.parity
H, N, BLOCK_SIZE = 3, 2, 7
SAME = 1e-10  # the same sums in float64, in another order

TOKENIZER = CharacterTokenizer("\nabcdefghijkl")
TEXT = "cab\nhil"
PHONES = "P T K AA0 AA1 IY0 IY1 S Z N".split()
PAIRS = PairTokenizer(
    UnitTokenizer("characters", [*"abcdefghijklmn"]), UnitTokenizer("words", PHONES)
)
SHORT, LONG = "face", "acne"  # drawn weights make one phone of one, and no end of the other


@pytest.mark.parametrize(
    "changes",
    [{}, {"positions": "rotary", "qk_norm": True}, {"ngram_size": 2, "token_shift": True}],
    ids=str,
)
def test_surprise_is_the_loss_of_evaluation_in_bits(float64, make_gpt, changes):
    model = make_gpt(**changes)
    explanation = explain_text(model, TOKENIZER, TEXT)
    score = score_model(model, TOKENIZER.encode(TEXT), TOKENIZER)
    assert explanation.mean_surprise == pytest.approx(score.bits_per_char, abs=SAME)
    assert explanation.units[0] == Unit("c")
    assert explanation.rows == explanation.columns == [*TEXT]


@pytest.mark.parametrize("source", [SHORT, LONG])
def test_surprise_of_a_target_is_the_loss_of_evaluation_in_bits(
    float64, make_encoder_decoder, source
):
    model = make_encoder_decoder()
    explanation = explain_translation(Translator(model, PAIRS), source)
    assert explanation.columns == [*source]
    bits = mean_loss(model, [batch_of(source, explanation)])[0] / math.log(2)
    assert explanation.mean_surprise == pytest.approx(bits, abs=SAME)


def batch_of(source, explanation):
    """Source, tokens, targets, as the loss of training takes them."""
    ids = {phone: PAIRS.target.encode(phone).item() for phone in PHONES} | {"end": END}
    targets = [ids[text] for text in explanation.rows]
    rows = (PAIRS.source.encode(source).tolist(), [BEGIN, *targets[:-1]], targets)
    return [torch.tensor([row]) for row in rows]


def test_alternatives_are_the_five_likeliest_by_the_models_own_probabilities(float64, make_gpt):
    model = make_gpt()
    explanation = explain_text(model, TOKENIZER, TEXT)
    with torch.no_grad():
        expected = model(torch.from_numpy(TOKENIZER.encode(TEXT)).long()[None])[0].softmax(dim=-1)
    for row, unit in zip(expected, explanation.units[1:], strict=False):
        order = row.argsort(descending=True)[:5].tolist()
        assert [name for name, _ in unit.alternatives] == [TOKENIZER.vocabulary[i] for i in order]
        probabilities = [probability for _, probability in unit.alternatives]
        assert probabilities == pytest.approx(row[order].tolist(), abs=SAME)
        assert probabilities == sorted(probabilities, reverse=True)
        assert sum(probabilities) <= 1
        own = row[TOKENIZER.vocabulary.index(unit.text)].item()
        assert unit.surprise == pytest.approx(-math.log2(own), abs=SAME)


@pytest.mark.parametrize("source", [SHORT, LONG])
def test_no_alternative_is_what_decoding_never_chooses(make_encoder_decoder, source):
    """So the greedy unit is the first alternative, and its probability is that of its surprise."""
    explanation = explain_translation(Translator(make_encoder_decoder(), PAIRS), source)
    for unit in explanation.units:
        names = [name for name, _ in unit.alternatives]
        assert len(set(names)) == 5
        assert set(names) <= {*PHONES, "end"}
        assert names[0] == unit.text
        assert unit.alternatives[0][1] == pytest.approx(2**-unit.surprise)


def test_a_vocabulary_of_fewer_than_five_has_fewer_alternatives(make_gpt):
    explanation = explain_text(make_gpt(vocab_size=3), CharacterTokenizer("abc"), "cab")
    assert [len(unit.alternatives) for unit in explanation.units] == [0, 3, 3]
    assert sum(p for _, p in explanation.units[1].alternatives) == pytest.approx(1)


def test_each_row_of_a_text_sums_to_1_and_reads_nothing_that_comes_later(make_gpt, float32_bound):
    attention = explain_text(make_gpt(), TOKENIZER, TEXT).attention
    assert attention.shape == (N, H, len(TEXT), len(TEXT))
    bound = float32_bound(2 * len(TEXT), 1)  # the sum of a softmax, and ours
    assert attention.sum(axis=-1) == pytest.approx(np.ones((N, H, len(TEXT))), abs=bound)
    assert not np.triu(attention, k=1).any()


def test_attention_is_that_of_the_model(make_gpt):
    model = make_gpt()
    with torch.no_grad():
        expected = model.attention_weights(torch.from_numpy(TOKENIZER.encode(TEXT)).long()[None])
    explanation = explain_text(model, TOKENIZER, TEXT)
    assert torch.equal(torch.from_numpy(explanation.attention), expected[:, 0])


@pytest.mark.parametrize(("source", "length"), [(SHORT, 2), (LONG, BLOCK_SIZE + 1)])
def test_a_target_reads_its_source_where_each_unit_is_chosen(make_encoder_decoder, source, length):
    model = make_encoder_decoder()
    explanation = explain_translation(Translator(model, PAIRS), source)
    assert len(explanation.units) == length
    read, tokens, _ = batch_of(source, explanation)
    with torch.no_grad():
        expected = model.cross_attention_weights(read, tokens)
    assert expected.shape == (N, 1, H, length, len(source))
    assert torch.equal(torch.from_numpy(explanation.attention), expected[:, 0])


def test_entropy_counts_in_bits_over_how_many_positions_a_head_reads():
    weights = np.zeros((1, 3, 2, 4), dtype=np.float32)
    weights[0, 0, :, 1] = 1  # one position alone
    weights[0, 1] = 1 / 4  # four evenly
    weights[0, 2, 0], weights[0, 2, 1, :2] = 1 / 4, 1 / 2  # four, then two
    explanation = Explanation((Unit("a"), Unit("b")), weights, source=(*"wxyz",))
    assert explanation.entropy.tolist() == [[0, 2, 1.5]]


def test_of_a_long_text_the_end_is_explained_as_if_it_were_all(make_gpt):
    model = make_gpt()
    long = explain_text(model, TOKENIZER, "abcdef" + TEXT)
    alone = explain_text(model, TOKENIZER, TEXT)
    assert long.units == alone.units
    assert np.array_equal(long.attention, alone.attention)


def test_a_model_without_attention_has_surprise_alone(float64):
    model = Bigram(vocab_size=TOKENIZER.vocab_size, block_size=BLOCK_SIZE)
    explanation = explain_text(model, TOKENIZER, TEXT)
    bits = score_model(model, TOKENIZER.encode(TEXT), TOKENIZER).bits_per_char
    assert explanation.mean_surprise == pytest.approx(bits, abs=SAME)
    assert explanation.attention.shape[:2] == (0, 0)
    assert explanation.entropy.size == 0


def test_one_character_has_nothing_predicted(make_gpt):
    explanation = explain_text(make_gpt(), TOKENIZER, "a")
    assert explanation.units == (Unit("a"),)
    assert explanation.mean_surprise is None


def test_dropout_is_off_and_the_mode_is_as_before(make_gpt):
    model = make_gpt(dropout=0.5).train()
    assert explain_text(model, TOKENIZER, TEXT) is not None
    assert model.training
    first, second = (explain_text(model, TOKENIZER, TEXT).units for _ in range(2))
    assert first == second


def test_empty_texts_characters_never_seen_and_broken_models_are_refused(make_gpt):
    model = make_gpt()
    with pytest.raises(UserError, match="the text is empty"):
        explain_text(model, TOKENIZER, "")
    with pytest.raises(UserError, match="LATIN SMALL LETTER Z"):
        explain_text(model, TOKENIZER, "abz")
    with torch.no_grad():
        model.final_norm.weight.fill_(math.inf)
    with pytest.raises(UserError, match="logits are not finite"):
        explain_text(model, TOKENIZER, TEXT)
