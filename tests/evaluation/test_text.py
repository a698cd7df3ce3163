"""The exact loss of a model on a text, and the baselines, beside sums worked by hand."""

import lzma
import math
import random

import numpy as np
import pytest
import torch

from tests.marks import first_fast
from transformer.data.tokenizers.base import TextSize
from transformer.data.tokenizers.bytes import ByteTokenizer
from transformer.data.tokenizers.characters import CharacterTokenizer
from transformer.data.tokenizers.registry import TOKENIZERS
from transformer.evaluation import text
from transformer.evaluation.text import (
    Score,
    score_baselines,
    score_bigram,
    score_model,
    score_unigram,
    score_xz,
)
from transformer.models.bigram import Bigram

pytestmark = pytest.mark.parity
V, BLOCK_SIZE = 13, 7


def letters(count):
    """A tokenizer of so many characters, one byte each."""
    return CharacterTokenizer("".join(map(chr, range(count))))


LETTERS = letters(V)

SAME = 1e-10  # the same sums in float64, in another order


@pytest.fixture
def tokens(generator):
    """3 whole windows of 7 and a short one of 2: 23 characters to score."""
    return torch.randint(V, (24,), generator=generator, dtype=torch.int32).numpy()


def naive_losses(model, tokens):
    """Character by character: the loss of each from what its window holds before it."""
    losses = []
    with torch.no_grad():
        for position in range(1, len(tokens)):
            start = (position - 1) // BLOCK_SIZE * BLOCK_SIZE
            context = torch.tensor(tokens[start:position]).long()[None]
            log_probabilities = model(context)[0, -1].log_softmax(dim=-1)
            losses.append(-log_probabilities[tokens[position]].item())
    return losses


def test_the_score_is_the_mean_of_a_naive_loop_over_all_but_the_first_character(
    float64, make_gpt, tokens
):
    model = make_gpt()
    losses = naive_losses(model, tokens)
    score = score_model(model, tokens, LETTERS)
    assert len(losses) == 23
    assert score.num_scored == 23
    assert score.loss == pytest.approx(sum(losses) / 23, abs=SAME)


@pytest.mark.parametrize("length", [2, 3, 7, 8, 9, 15, 16])
def test_every_length_of_text_is_scored_whole(float64, make_gpt, tokens, length):
    """Shorter than a window, a window and its target, one more, two windows."""
    model = make_gpt()
    score = score_model(model, tokens[:length], LETTERS)
    assert score.num_scored == length - 1
    losses = naive_losses(model, tokens[:length])
    assert score.loss == pytest.approx(sum(losses) / (length - 1), abs=SAME)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 4, 5])
def test_the_score_does_not_depend_on_the_batch_size(
    float64, make_gpt, tokens, batch_size, monkeypatch
):
    model = make_gpt()
    expected = sum(naive_losses(model, tokens)) / 23
    monkeypatch.setattr(text, "validation_batch_size", lambda *_: batch_size)
    assert score_model(model, tokens, LETTERS).loss == pytest.approx(expected, abs=SAME)


def test_the_score_is_the_same_number_for_any_number_of_threads(make_gpt, tokens, monkeypatch):
    """Each batch is computed on one thread, and their sums are added in order."""
    monkeypatch.setattr("transformer.data.text.batches.SCORED_ON_CPU", BLOCK_SIZE)
    model, before, losses = make_gpt(), torch.get_num_threads(), set()
    for num_threads in (1, 2, 3):
        torch.set_num_threads(num_threads)
        losses.add(score_model(model, tokens, LETTERS).loss)
    torch.set_num_threads(before)
    assert len(losses) == 1


def test_a_model_that_knows_nothing_scores_ln_v(tokens):
    score = score_model(Bigram(vocab_size=V, block_size=BLOCK_SIZE).double(), tokens, LETTERS)
    assert score.loss == pytest.approx(math.log(V), abs=SAME)


def test_tensors_and_arrays_score_the_same(make_gpt, tokens):
    model = make_gpt()
    assert score_model(model, torch.from_numpy(tokens), LETTERS) == score_model(
        model, tokens, LETTERS
    )


@pytest.mark.parametrize("training", [True, False])
def test_scoring_is_without_dropout_and_restores_the_mode(make_gpt, tokens, training):
    plain, dropping = make_gpt(), make_gpt(dropout=0.5).train(training)
    assert score_model(dropping, tokens, LETTERS) == score_model(plain, tokens, LETTERS)
    assert dropping.training == training


def test_the_units_are_one_loss():
    """Five tokens, each a fair choice among 8: 15 bits for 10 characters of 20 bytes."""
    score = Score(math.log(8), 5, TextSize(10, 20))
    expected = {"loss": score.loss, "num_scored": 5, "perplexity": 8.0}
    expected |= {"bits_per_char": 1.5, "bits_per_byte": 0.75}
    assert score.as_dict() == pytest.approx(expected, abs=SAME)
    assert Score(1e6, 5, TextSize(5, 5)).perplexity < math.inf


def test_bytes_are_those_of_utf_8(make_gpt):
    tokenizer = CharacterTokenizer("aé漢🙂")
    text = "aé漢🙂🙂漢éa"
    score = score_model(make_gpt(vocab_size=4), tokenizer.encode(text), tokenizer)
    assert score.size == (len(text) - 1, len(text[1:].encode("utf-8")))


def test_unigram_by_hand():
    """a a b, each count one higher: 3/6, 2/6, and 1/6 for c. Of b a c a, a c a is scored."""
    score = score_unigram(np.array([0, 0, 1]), np.array([1, 0, 2, 0]), letters(3))
    expected = -(math.log(3 / 6) + math.log(1 / 6) + math.log(3 / 6)) / 3
    assert score.loss == pytest.approx(expected, abs=SAME)
    assert score.num_scored == 3


def test_bigram_by_hand():
    """a a b a has aa, ab, ba. Each count one higher: aa 2/5, ab 2/5, ba 2/4, bb 1/4, cc 1/3."""
    train, val = np.array([0, 0, 1, 0]), np.array([0, 1, 1, 0, 0, 2, 2])
    score = score_bigram(train, val, letters(3))
    pairs = [2 / 5, 1 / 4, 2 / 4, 2 / 5, 1 / 5, 1 / 3]  # ab bb ba aa ac cc
    assert score.loss == pytest.approx(-sum(map(math.log, pairs)) / 6, abs=SAME)
    assert score.num_scored == 6


def test_bigram_pairs_do_not_wrap_around_in_narrow_ids():
    """Ids may be narrow: in int8, 3 * 101 + 1 would wrap around."""
    ids = np.array([3, 1, 3, 1, 3], dtype=np.int8)
    score = score_bigram(ids, ids, letters(101))
    assert score.loss == pytest.approx(-math.log(3 / 103), abs=SAME)


def test_xz_counts_the_bytes_it_needs_more():
    """In UTF-8 bytes, per character: é is two bytes and one character."""
    shuffled = random.Random(0).choices("abcdefghé\n", k=3000)
    train, val = "".join(shuffled[:2000]), "".join(shuffled[2000:])
    before = len(lzma.compress(train.encode(), preset=9))
    after = len(lzma.compress((train + val).encode(), preset=9))
    score = score_xz(train, val)
    # The file format pads each of the two to four bytes.
    assert score.bits_per_char == pytest.approx(8 * (after - before) / 1000, abs=8 * 3 / 1000)
    assert score.num_scored == 1000
    # No compressor gets below the entropy of a fair choice among 10, nor this one far above.
    assert math.log2(10) < score.bits_per_char < 4.5


def test_xz_finds_a_text_again_that_it_has_seen():
    text = "".join(random.Random(0).choices("abcdefgh", k=1000))
    assert score_xz(text, text).bits_per_char < 0.2


@pytest.mark.parametrize("length", first_fast([1, 2, 5, 23, 100]))
def test_xz_needs_at_least_a_byte_for_a_tail_however_short(length):
    """In padded files, the last characters of a text cost nothing at all, or less than that."""
    line = "the quick fox jumps over the lazy dog\n"
    for train in (line * 300, "".join(random.Random(1).choices("abcdefgh", k=3000))):
        score = score_xz(train, (line * 3)[:length])
        assert 0.99 < score.bits_per_char * length / 8 < 60


def test_baselines_learn_from_the_first_text_and_are_scored_on_the_second():
    tokenizer = CharacterTokenizer("ab")
    train, val = "aaab" * 50, "baaa" * 20
    scores = score_baselines(tokenizer, train, val)
    train_ids, val_ids = tokenizer.encode(train), tokenizer.encode(val)
    assert scores == {
        "bigram": score_bigram(train_ids, val_ids, tokenizer),
        "unigram": score_unigram(train_ids, val_ids, tokenizer),
        "xz": score_xz(train, val),
    }
    assert scores["bigram"].loss < scores["unigram"].loss < math.log(2)


def test_the_loss_of_one_model_agrees_by_characters_and_by_bytes(float64):
    """The sum of nats over the tokens, divided by the bytes of the text, to 1e-9.

    For a text in ASCII, each character is one byte: a model of bytes with the same rows, which
    never expects another byte, is the same model.
    """
    text = "".join("abcde\n"[n**3 % 6] for n in range(97))
    characters, by_bytes = CharacterTokenizer.from_text(text), ByteTokenizer()
    model, same = (Bigram(vocab_size=t.vocab_size, block_size=7) for t in (characters, by_bytes))
    with torch.no_grad():
        table = torch.randn(6, 6, generator=torch.Generator().manual_seed(0))
        (parameter,), (other,) = model.parameters(), same.parameters()
        parameter.copy_(table)
        other.fill_(-1e4)
        rows = torch.tensor([ord(c) for c in characters.vocabulary])
        other[rows[:, None], rows] = table
    scores = [score_model(m, t.encode(text), t) for m, t in ((model, characters), (same, by_bytes))]
    assert scores[0].bits_per_byte == pytest.approx(scores[1].bits_per_byte, abs=1e-9)
    total = scores[0].loss * scores[0].num_scored
    assert scores[0].bits_per_byte == pytest.approx(total / math.log(2) / 96, abs=1e-9)


@pytest.mark.parametrize("name", ["characters", "bytes", "bpe"])
def test_bits_per_byte_are_the_sum_of_nats_over_the_bytes_of_the_text(name):
    """The first token is not scored, so its bytes do not count."""
    text = "naïve 漢字, naïve 🙂\n" * 9
    tokenizer = TOKENIZERS[name].from_text(text, len(text))
    tokens = tokenizer.encode(text)
    score = score_unigram(tokens, tokens, tokenizer)
    num_bytes = len(text.encode()) - len(tokenizer.bytes_of(int(tokens[0])))
    total = score.loss * (len(tokens) - 1) / math.log(2)
    assert score.bits_per_byte == pytest.approx(total / num_bytes, abs=1e-9)
    assert score.bits_per_char == pytest.approx(total / (len(text) - 1), rel=0.05)


def test_the_baselines_of_bytes_that_are_no_utf_8_have_no_characters():
    text = (b"\xff\x00a" * 50).decode("utf-8", "surrogateescape")
    scores = score_baselines(ByteTokenizer(), text, text)
    assert all(score.bits_per_char is None for score in scores.values())
    assert scores["xz"].bits_per_byte < scores["unigram"].bits_per_byte
