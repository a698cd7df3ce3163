"""The lesson's classes do what their docstrings say, and the model has the documented sizes."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from transformer.lessons.teaching import (
    Block,
    FeedForwardNetwork,
    Model,
    MultiHeadAttention,
    SelfAttention,
)
from transformer.models.gpt import GPT
from transformer.models.parts import layers

pytestmark = pytest.mark.parity
B, T, H, C = 2, 5, 3, 21
CONTEXT, V, WIDTH, NUM_BLOCKS = 8, 65, 384, 6


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Model().eval()


@pytest.fixture
def x(generator):
    return torch.randn(B, T, C, generator=generator, dtype=torch.get_default_dtype())


def num_parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_generate_gives_the_start_and_a_hundred_ids_the_same_for_a_seed(model):
    start = torch.tensor([[1, 7, 2], [64, 0, 5]])
    tokens = model.generate(start)
    assert tokens.shape == (2, 3 + 100)
    assert torch.equal(tokens[:, :3], start)
    assert tokens.min() >= 0
    assert tokens.max() < V
    assert torch.equal(model.generate(start, max_length=20), tokens[:, : 3 + 20])
    assert not torch.equal(model.generate(start, max_length=20, seed=1), tokens[:, : 3 + 20])


def test_a_start_may_be_longer_than_the_context(model):
    start = torch.arange(CONTEXT + 5)[None]
    tokens = model.generate(start, max_length=3)
    assert torch.equal(tokens[:, : CONTEXT + 5], start)
    assert tokens.shape == (1, CONTEXT + 5 + 3)


def test_the_models_sizes_are_those_of_its_lesson(model):
    norm = 2 * WIDTH
    attention = 4 * (WIDTH * WIDTH + WIDTH)
    feedforward = 2 * 4 * WIDTH * WIDTH + 5 * WIDTH
    blocks = NUM_BLOCKS * (attention + feedforward + 2 * norm)
    assert num_parameters(model) == (V + CONTEXT) * WIDTH + blocks + norm
    assert model.architecture["num_heads"] == 6
    assert model.architecture["dropout"] == 0.2
    with pytest.raises(ValueError, match="9 tokens, but block_size=8"):
        model(torch.zeros(1, 9, dtype=torch.long))


def test_the_first_loss_is_close_to_ln_v(model):
    tokens = torch.arange(CONTEXT)[None]
    loss = F.cross_entropy(model(tokens)[0], tokens.roll(-1)[0])
    assert abs(loss.item() - math.log(V)) < 0.2


def test_a_block_computes_what_those_of_the_model_do(model, generator):
    block = Block()
    block.load_state_dict(model.blocks[0].state_dict())
    x = torch.randn(B, T, WIDTH, generator=generator)
    assert torch.equal(block.eval()(x), model.blocks[0](x))
    assert block.dropout.p == model.blocks[0].dropout.p == 0.2
    assert block.attention.dropout == model.blocks[0].attention.dropout == 0.2
    assert block.feedforward.dropout.p == 0.0


@pytest.mark.parametrize(
    ("part", "parent"),
    [
        (SelfAttention, MultiHeadAttention),
        (FeedForwardNetwork, layers.FeedForward),
        (Block, layers.Block),
        (Model, GPT),
    ],
)
def test_every_part_is_one_of_ours(part, parent):
    assert issubclass(part, parent)


@pytest.mark.usefixtures("float64")
def test_one_head_takes_the_mean_of_values_weighted_by_queries_and_keys(x):
    head = SelfAttention(C).eval()
    query, key, value = head.qkv(x).chunk(3, dim=-1)
    for t in range(T):
        scores = torch.einsum("bc,bsc->bs", query[:, t], key[:, : t + 1]) / math.sqrt(C)
        weights = scores.exp() / scores.exp().sum(dim=1, keepdim=True)
        mean = (weights[..., None] * value[:, : t + 1]).sum(dim=1)
        assert_close(head(x)[:, t], head.output(mean), rtol=0, atol=1e-10)  # the same mathematics


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    "make", [SelfAttention, lambda c: MultiHeadAttention(c, H), lambda c: Block(c, H)]
)
def test_a_later_position_does_not_change_an_earlier_one(make, x):
    part = make(C).eval()
    changed = x.clone()
    changed[:, -1] += 1
    before, after = part(x), part(changed)
    assert_close(after[:, :-1], before[:, :-1], rtol=0, atol=1e-10)  # the same mathematics
    assert not torch.allclose(after[:, -1], before[:, -1])


def test_the_same_width_in_more_heads_has_equally_many_parameters():
    counts = {num_parameters(MultiHeadAttention(C, num_heads)) for num_heads in (1, 3, 7)}
    assert counts == {num_parameters(SelfAttention(C))} == {4 * (C * C + C)}


@pytest.mark.usefixtures("float64")
def test_a_feedforward_network_works_on_each_position_alone(x):
    network = FeedForwardNetwork(C).eval()
    order = torch.tensor([3, 0, 4, 1, 2])
    assert_close(network(x[:, order]), network(x)[:, order], rtol=0, atol=1e-10)
    expected = network.output(network.input(x).clamp(min=0))
    assert_close(network(x), expected, rtol=0, atol=1e-10)  # the same mathematics
    assert network.input.out_features == 4 * C


def test_dropout_zeroes_a_share_of_what_a_feedforward_network_gives():
    torch.manual_seed(0)
    network = FeedForwardNetwork(C, dropout=0.5)
    zeros = (network(torch.ones(1, 1000, C)) == 0).float().mean().item()
    assert zeros == pytest.approx(0.5, abs=0.02)  # of 21,000 coins: six deviations
    assert network.eval()(torch.ones(1, 1, C)).all()


def test_a_block_whose_parts_give_nothing_gives_back_x(x):
    block = Block(C, H)
    for part in (block.attention, block.feedforward):
        torch.nn.init.zeros_(part.output.weight)
        torch.nn.init.zeros_(part.output.bias)
    assert torch.equal(block(x), x)
