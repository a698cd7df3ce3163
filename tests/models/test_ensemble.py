"""Several models as one: the mean of their probabilities, also step by step with caches."""

import math

import pytest
import torch

from transformer.decoding.loop import decode
from transformer.decoding.sampling import Sampler
from transformer.models.bigram import Bigram
from transformer.models.ensemble import Ensemble

pytestmark = pytest.mark.parity
V, BLOCK_SIZE = 13, 7
SAME = 1e-10  # the same mathematics in float64


@pytest.fixture
def members(float64, make_gpt, generator):
    """Of different kinds, widths and block sizes; drawn alike, they differ by their shapes."""
    bigram = Bigram(vocab_size=V, block_size=BLOCK_SIZE + 2)
    with torch.no_grad():
        bigram.next_token.weight.normal_(generator=generator)
    rotary = {"positions": "rotary", "ngram_size": 3, "token_shift": True, "block_size": 11}
    return [make_gpt(), make_gpt(num_blocks=1, **rotary), bigram]


@pytest.fixture
def tokens(generator):
    return torch.randint(V, (2, 5), generator=generator)


@torch.no_grad()
def test_probabilities_are_the_mean_of_the_members_probabilities(members, tokens):
    found = Ensemble(members)(tokens)
    each = [member(tokens).softmax(dim=-1) for member in members]
    assert (found.exp() - sum(each) / 3).abs().max() < SAME
    assert (found.exp().sum(dim=-1) - 1).abs().max() < SAME
    logits = sum(member(tokens) for member in members) / 3  # something else
    assert (found - logits.log_softmax(dim=-1)).abs().max() > 0.1


@torch.no_grad()
def test_one_model_or_twice_the_same_predicts_as_the_model(members, tokens):
    for model in members:
        alone = model(tokens).log_softmax(dim=-1)
        assert torch.equal(Ensemble([model])(tokens), alone)
        assert (Ensemble([model, model])(tokens) - alone).abs().max() < SAME


@torch.no_grad()
def test_a_probability_of_almost_0_in_one_member_leaves_that_of_the_other(tokens):
    sure, even = (Bigram(vocab_size=V, block_size=BLOCK_SIZE) for _ in range(2))
    sure.next_token.weight[:, 0] = 1e4
    found = Ensemble([sure, even])(tokens)
    assert found[..., 1].exp() == pytest.approx(torch.full((2, 5), 1 / 2 / V).numpy(), rel=1e-6)
    assert found.isfinite().all()


@pytest.mark.parametrize("lengths", [(1, 3, 7, 10, 2), (19,), (4, 4)], ids=str)
@torch.no_grad()
def test_each_cached_step_is_one_uncached_pass_over_its_window(members, lengths, generator):
    """Through several turns of the window, which has the smallest block_size."""
    model = Ensemble(members)
    assert model.block_size == BLOCK_SIZE
    prompts = [torch.randint(V, (length,), generator=generator) for length in lengths]
    windows = [prompt[-BLOCK_SIZE:].tolist() for prompt in prompts]
    sampler = Sampler(seed=1, temperature=3.0)
    for step in decode(model, prompts, max_new_tokens=15, sampler=sampler):
        for row, window in enumerate(windows):
            uncached = model(torch.tensor([window]))[0, -1]
            assert (step.logits[row] - uncached).abs().max() < SAME
            if len(window) == BLOCK_SIZE:
                window[: BLOCK_SIZE - BLOCK_SIZE // 2] = []
            window.append(int(step.tokens[row]))


@torch.no_grad()
def test_weights_in_16_bits_are_averaged_in_32(make_gpt, tokens):
    model = make_gpt().bfloat16()
    found = Ensemble([model, model])(tokens)
    assert found.dtype == torch.float32
    exact = model(tokens).double().log_softmax(dim=-1)
    assert (found - exact).abs().max() < 8 * torch.finfo(torch.float32).eps * exact.abs().max()


def test_generate_continues_each_row(members, tokens):
    model = Ensemble(members)
    alone = Ensemble(members[:1]).generate(tokens, max_new_tokens=9, temperature=0.0)
    assert torch.equal(alone, members[0].generate(tokens, max_new_tokens=9, temperature=0.0))
    assert model.generate(tokens, max_new_tokens=9).shape == (2, 14)


def test_members_of_different_vocabularies_are_refused(make_gpt):
    with pytest.raises(ValueError, match=r"must have one vocab_size, got \[13, 17\]"):
        Ensemble([make_gpt(), make_gpt(vocab_size=17)])
    with pytest.raises(ValueError, match="one vocab_size"):
        Ensemble([])


def test_its_architecture_is_of_a_member_with_attention_even_beside_a_larger_bigram(make_gpt):
    gpt, bigram = make_gpt(vocab_size=101), Bigram(vocab_size=101, block_size=BLOCK_SIZE)
    small = make_gpt(vocab_size=101, num_blocks=1)
    model = Ensemble([bigram, small, gpt])
    assert model.architecture == gpt.architecture
    assert model.has_attention
    assert model.block_size == BLOCK_SIZE


def test_its_loss_is_at_most_the_mean_of_the_losses(members, generator):
    """Jensen's inequality; for models that differ it is lower."""
    tokens = torch.randint(V, (3, 7), generator=generator)
    targets = torch.randint(V, (21,), generator=generator)
    with torch.no_grad():
        *each, together = (
            torch.nn.functional.cross_entropy(model(tokens).flatten(0, 1), targets).item()
            for model in [*members, Ensemble(members)]
        )
    assert together < math.fsum(each) / 3 - 0.1
