"""A model with more symbols predicts the old ones as before."""

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from transformer.models import build_model
from transformer.models.growing import begin_with, grown

V, T = 13, 7
SHAPE = {
    **{"model": "gpt", "vocab_size": V, "block_size": T},
    **{"embedding_dim": 12, "num_heads": 2, "num_blocks": 2},
}
OPTIONS = [
    {},
    {"tie_weights": False},
    {"positions": "rotary", "bias": False, "tie_weights": False, "token_shift": True},
    {"positions": "sinusoidal"},
    {"ngram_size": 3, "ngram_buckets": 200},  # room for the 169 bigrams, not for the trigrams
]


def made(**options):
    torch.manual_seed(0)
    model = build_model(**SHAPE | options).eval()
    with torch.no_grad():
        for part in model.parameters():  # also those that are 0 at first
            part.copy_(torch.randn(part.shape) / 3)
    return model


def begun(old, vocab_size, **changes):
    model = build_model(**grown(old.architecture, vocab_size) | changes).eval()
    begin_with(model, old)
    return model


@pytest.fixture
def tokens():
    return torch.randint(V, (4, T), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("times", [1, 2])
def test_new_symbols_change_no_logit_of_the_old_ones_and_the_old_loss_by_less_than_a_millionth(
    options, times, tokens
):
    old = made(**options)
    model = old
    for number in range(times):
        model = begun(model, V + 40 * (number + 1))
    logits, wanted = model(tokens), old(tokens)
    assert_close(logits[..., :V], wanted)
    targets = tokens.roll(-1, dims=1).flatten()
    losses = [F.cross_entropy(part.flatten(0, 1).double(), targets) for part in (logits, wanted)]
    assert_close(*losses, rtol=0, atol=1e-6)
    new = torch.full((1, T), V + 5)
    assert model(new).isfinite().all()


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_each_old_row_is_copied_and_new_rows_are_near_their_mean(options):
    old = made(**options)
    model = begun(old, V + 4)
    for name in ("token_embedding.weight", "lm_head.weight"):
        tensor, before = model.state_dict()[name], old.state_dict()[name]
        assert torch.equal(tensor[:V], before)
        assert_close(tensor[V:], before.mean(dim=0).expand(4, -1), rtol=0, atol=0.02)
        assert not torch.equal(tensor[V], tensor[V + 1])


def test_without_new_symbols_the_model_is_the_same(tokens):
    old = made()
    assert grown(old.architecture, V) == old.architecture
    assert torch.equal(begun(old, V)(tokens), old(tokens))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("length", [3, 5])
def test_a_shorter_context_predicts_the_same(options, length, tokens):
    old = made(**options)
    short = begun(old, V, block_size=length)
    assert_close(short(tokens[:, :length]), old(tokens[:, :length]))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_longer_context_begins_with_the_same_and_learned_positions_repeat(options, tokens):
    old = made(**options)
    long = begun(old, V, block_size=2 * T + 1)
    assert_close(long(torch.cat((tokens, tokens), dim=1))[:, :T], old(tokens))
    if "positions" not in options:
        assert torch.equal(long.position_embedding.weight[T : 2 * T], old.position_embedding.weight)


def test_another_width_is_an_error():
    with pytest.raises(ValueError, match="does not fit"):
        begin_with(build_model(**SHAPE | {"embedding_dim": 16}), made())
