"""The floor to beat: what the last token alone can say of the next."""

import math
from collections import Counter
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F

from transformer.models import build_model
from transformer.models.bigram import Bigram

V = 7


@pytest.fixture
def text(generator):
    """211 tokens in which some pairs are frequent and some never come."""
    return (torch.rand(211, generator=generator, dtype=torch.float64) ** 2 * V).long()


def conditional_entropy(text):
    """H(next | last) of the pairs in `text`, in nats."""
    ids = text.tolist()
    pairs = Counter(pairwise(ids))
    lasts = Counter(ids[:-1])
    logs = [count * math.log(count / lasts[last]) for (last, _), count in pairs.items()]
    return -sum(logs) / (len(ids) - 1)


def loss_on(model, text):
    return F.cross_entropy(model(text[None, :-1])[0], text[1:])


def test_the_first_loss_is_exactly_ln_v(text):
    model = Bigram(vocab_size=V, block_size=5).double()
    assert loss_on(model, text).item() == pytest.approx(math.log(V), abs=1e-12)


def test_no_training_beats_the_conditional_entropy_and_enough_reaches_it(text):
    floor = conditional_entropy(text)
    assert floor < math.log(V) - 0.1
    model = Bigram(vocab_size=V, block_size=5).double()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.3)
    losses = []
    for _ in range(200):
        optimizer.zero_grad()
        loss = loss_on(model, text)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert min(losses) >= floor - 1e-12  # rounding in float64
    assert losses[-1] < floor + 0.005  # pairs that never come have finite logits, so never equal


def test_logits_depend_on_the_last_token_alone(generator):
    model = Bigram(vocab_size=V, block_size=5)
    with torch.no_grad():
        model.next_token.weight.normal_(generator=generator)
    tokens = torch.tensor([[1, 2, 3], [4, 5, 3]])
    logits = model(tokens)
    assert torch.equal(logits[0, 2], logits[1, 2])
    assert torch.equal(logits, model.next_token.weight[tokens])


def test_the_architecture_builds_the_same_model_again():
    model = Bigram(vocab_size=V, block_size=5)
    again = build_model(**model.architecture)
    assert isinstance(again, Bigram)
    assert again.architecture == model.architecture
    assert again.block_size == 5
