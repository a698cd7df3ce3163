"""Tokens, the n-grams they end and the token before -> vectors, beside a loop over positions."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from transformer.models.parts.embeddings import NgramEmbedding, TokenShift

pytestmark = [pytest.mark.parity, pytest.mark.usefixtures("float64")]
same = partial(assert_close, rtol=0, atol=1e-10)  # the same mathematics in float64
B, T, C, V = 2, 7, 11, 13

AMPLE = V**4  # rows enough for every n-gram here


@pytest.fixture
def tokens(generator):
    return torch.randint(V, (B, T), generator=generator)


def make_embedding(ngram_size, ngram_buckets=AMPLE):
    """With weights drawn: the tables start at zero."""
    torch.manual_seed(0)
    embedding = NgramEmbedding(V, C, ngram_size, ngram_buckets)
    with torch.no_grad():
        for parameter in embedding.parameters():
            parameter.normal_()
    return embedding


def row_reader(ngram_size, ngram_buckets, vocab_size=V):
    """An embedding of width 1 that gives the number of the row of the longest n-gram."""
    embedding = NgramEmbedding(vocab_size, 1, ngram_size, ngram_buckets)
    with torch.no_grad():
        for table in embedding.parameters():
            table.zero_()
        last = embedding.ngram_tables[-1]
        last[:, 0] = torch.arange(len(last))
    return embedding


def every_ngram(size, vocab_size=V):
    return torch.cartesian_prod(*[torch.arange(vocab_size)] * size)  # (V^size, size)


@pytest.mark.parametrize("ngram_size", [2, 3, 4])
def test_each_token_has_the_sum_of_its_rows_and_those_of_the_ngrams_that_it_ends(
    ngram_size, tokens
):
    """The row of (..., a, b) is ... + a V + b; before the first token stands token 0."""
    embedding = make_embedding(ngram_size)
    expected = torch.zeros(B, T, C)
    for b in range(B):
        past = [0] * (ngram_size - 1)
        for t, token in enumerate(tokens[b].tolist()):
            past.append(token)
            expected[b, t] = embedding.weight[token]
            for size, table in enumerate(embedding.ngram_tables, start=2):
                row = 0
                for symbol in past[-size:]:
                    row = row * V + symbol
                expected[b, t] += table[row]
    same(embedding(tokens), expected)
    assert [len(table) for table in embedding.ngram_tables] == [
        V**size for size in range(2, ngram_size + 1)
    ]


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_sequence_shorter_than_n_is_as_after_zeros(length, tokens):
    embedding = make_embedding(4)
    short = tokens[:, :length]
    assert torch.equal(embedding(short), embedding(tokens)[:, :length])
    after_zeros = nn.functional.pad(short, (3, 0))
    assert torch.equal(embedding(short), embedding(after_zeros)[:, 3:])


def test_ngram_size_1_is_a_plain_embedding(tokens):
    torch.manual_seed(0)
    ours = NgramEmbedding(V, C)
    torch.manual_seed(0)
    theirs = nn.Embedding(V, C)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert torch.equal(ours(tokens), theirs(tokens))
    ours(tokens).sum().backward()
    theirs(tokens).sum().backward()
    assert torch.equal(ours.weight.grad, theirs.weight.grad)


def test_tables_start_at_zero_so_that_training_starts_from_the_plain_embedding(tokens):
    embedding = NgramEmbedding(V, C, 3, 17)
    assert torch.equal(embedding(tokens), nn.functional.embedding(tokens, embedding.weight))


@pytest.mark.parametrize("ngram_buckets", [17, AMPLE])
def test_a_vector_depends_on_the_last_n_tokens_and_no_others(ngram_buckets, tokens):
    embedding = make_embedding(3, ngram_buckets)
    before = embedding(tokens)
    for changed in range(T):
        other = tokens.clone()
        other[:, changed] = (other[:, changed] + 1) % V
        differs = (embedding(other) != before).any(dim=-1).any(dim=0)
        assert differs.nonzero().flatten().tolist() == list(range(changed, min(changed + 3, T)))


def test_ngrams_have_rows_of_their_own_where_they_fit():
    rows = row_reader(3, V**3)(every_ngram(3))[:, -1, 0]
    assert rows.unique().numel() == V**3


def test_a_table_has_no_more_rows_than_buckets_and_all_are_used():
    reader = row_reader(3, V**3 - 1)
    assert [len(table) for table in reader.ngram_tables] == [V**2, V**3 - 1]
    few = row_reader(3, 101)(every_ngram(3))[:, -1, 0]
    assert few.unique().numel() == 101


def test_an_ngram_has_one_row_wherever_it_stands():
    reader = row_reader(3, 101)
    ngram = torch.tensor([5, 0, 12])
    rows = [
        reader(torch.tensor([[*[7] * start, *ngram]]))[0, -1, 0].item() for start in range(1, 5)
    ]
    assert len(set(rows)) == 1


def test_rows_of_a_full_table_are_shared_at_random():
    """64 symbols, as in data/input.txt: which trigrams share a row says nothing of their tokens.

    With 2^18 trigrams in 2^13 rows, trigrams of one last bigram land on about 63 of 64 rows.
    """
    ngrams = every_ngram(3, 64)
    rows = row_reader(3, 8192, 64)(ngrams)[:, -1, 0].view(64, 64 * 64)
    distinct = [rows[:, bigram].unique().numel() for bigram in range(0, 64 * 64, 53)]
    assert sum(distinct) / len(distinct) > 60


@pytest.mark.parametrize("length", [1, 2, T])
def test_token_shift_adds_to_each_position_its_share_of_the_one_before(length, generator):
    shift = TokenShift(C)
    x = torch.randn(B, length, C, generator=generator)
    assert torch.equal(shift(x), x)  # at the start
    with torch.no_grad():
        shift.weight.normal_(generator=generator)
    shifted = shift(x)
    assert torch.equal(shifted[:, 0], x[:, 0])
    for t in range(1, length):
        same(shifted[:, t], x[:, t] + shift.weight * x[:, t - 1])


@pytest.mark.parametrize("vocab_size", [2048, 100_003])
def test_n_grams_of_a_large_vocabulary_share_rows_without_overflow(vocab_size, generator):
    """100,003^4 is more than an int64 holds; the rows must still be spread over the table."""
    embedding = NgramEmbedding(vocab_size, 2, ngram_size=5, ngram_buckets=64)
    tokens = torch.randint(vocab_size, (1, 3000), generator=generator)
    assert embedding(tokens).shape == (1, 3000, 2)
    with torch.no_grad():
        embedding.weight.zero_()
        for table in embedding.ngram_tables:
            table.copy_(torch.arange(64.0)[:, None].expand(64, 2) ** 2)
        one = NgramEmbedding(vocab_size, 2, ngram_size=2, ngram_buckets=64)
        one.weight.zero_()
        one.ngram_tables[0].copy_(torch.arange(64.0)[:, None].expand(64, 2))
        rows = one(tokens)[0, :, 0].long()
    counts = torch.bincount(rows, minlength=64)
    assert counts.min() > 20  # of 47 on average
