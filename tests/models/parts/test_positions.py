"""Positions: the papers' formulas, and that the order of tokens matters."""

import math
from functools import partial

import pytest
import torch
from torch.testing import assert_close

from transformer.models import build_model
from transformer.models.parts.positions import (
    LearnedPositions,
    RotaryPositions,
    ScaledSinusoidalPositions,
    SinusoidalPositions,
)

B, H, T, D, C = 2, 3, 7, 10, 13

same = partial(assert_close, rtol=0, atol=1e-10)  # the same mathematics in float64

pytestmark = [pytest.mark.parity, pytest.mark.usefixtures("float64")]


def test_rotary_turns_complex_numbers_made_of_half_split_pairs(generator):
    x = torch.randn(B, H, T, D, generator=generator)
    turned = RotaryPositions(T, D)(x, slice(0, T))
    for t in range(T):
        for i in range(D // 2):
            number = torch.complex(x[:, :, t, i], x[:, :, t, i + D // 2])
            angle = t / 10000 ** (2 * i / D)
            number = number * complex(math.cos(angle), math.sin(angle))
            same(turned[:, :, t, i], number.real)
            same(turned[:, :, t, i + D // 2], number.imag)


def test_rotary_products_depend_on_the_distance_of_positions_alone(generator):
    """One query and one key, put at every position: equal products along each diagonal."""
    query, key = torch.randn(2, D, generator=generator)
    rotary = RotaryPositions(T, D)
    q, k = (rotary(vector.expand(1, 1, T, D), slice(0, T))[0, 0] for vector in (query, key))
    products = q @ k.T
    for distance in range(1 - T, T):
        diagonal = products.diagonal(distance)
        same(diagonal, diagonal[:1].expand_as(diagonal))
    assert products[0].unique().numel() == T  # and they do depend on it


def test_rotary_keeps_lengths_and_leaves_position_zero_as_it_is(generator):
    x = torch.randn(B, H, T, D, generator=generator)
    turned = RotaryPositions(T, D)(x, slice(0, T))
    same(turned.norm(dim=-1), x.norm(dim=-1))
    assert torch.equal(turned[:, :, 0], x[:, :, 0])


def test_rotary_refuses_an_odd_head_dim():
    with pytest.raises(ValueError, match="even head_dim, got head_dim=11"):
        RotaryPositions(T, 11)


@pytest.mark.parametrize("width", [C, C + 1])
def test_sinusoidal_adds_the_formula_of_the_paper(width, generator):
    x = torch.randn(B, T - 2, width, generator=generator)
    table = torch.empty(T - 2, width)
    for t in range(T - 2):
        for column in range(width):
            angle = t / 10000 ** ((column - column % 2) / width)
            table[t, column] = math.cos(angle) if column % 2 else math.sin(angle)
    same(SinusoidalPositions(T, width)(x, slice(0, T - 2)), x + table)


def test_scaled_sinusoidal_adds_the_same_times_its_gain(generator):
    x = torch.randn(B, T, C, generator=generator)
    plain, scaled = SinusoidalPositions(T, C), ScaledSinusoidalPositions(T, C)
    torch.nn.init.constant_(scaled.gain, 0.7)
    added = plain(x, slice(0, T)) - x
    same(scaled(x, slice(0, T)), x + 0.7 * added)


@pytest.mark.parametrize("positions", ["learned", "sinusoidal"])
@pytest.mark.parametrize("model", ["gpt", "encoder_decoder"])
def test_positions_start_as_large_as_tokens(model, positions):
    """Far smaller ones are not seen for long, far larger ones drown the tokens."""
    pairs = model == "encoder_decoder"
    sizes = {"vocab_size": 211} | ({"source_vocab_size": 199} if pairs else {})
    shape = {"block_size": 101, "embedding_dim": 66, "num_heads": 3, "num_blocks": 1}
    torch.manual_seed(0)
    made = build_model(model, positions=positions, **sizes, **shape)
    sides = [(made.token_embedding, made.position_embedding)]
    if pairs:
        sides.append((made.source_embedding, made.source_positions))
    for embedding, added in sides:
        tokens = embedding.weight * getattr(made, "embedding_scale", 1.0)
        vectors = added(torch.zeros(1, 101, 66), slice(0, 101))
        assert 0.6 < (vectors.square().mean() / tokens.square().mean()).sqrt() < 1.1


def test_learned_adds_one_vector_a_position_to_every_row(generator):
    positions = LearnedPositions(T, C)
    x = torch.randn(B, T - 2, C, generator=generator)
    for t in range(T - 2):
        same(positions(x, slice(0, T - 2))[:, t], x[:, t] + positions.weight[t])
    assert positions.weight.shape == (T, C)


@pytest.mark.parametrize("kind", [LearnedPositions, SinusoidalPositions, RotaryPositions])
def test_each_column_is_treated_by_the_place_where_it_stands(kind, generator):
    """A slice for all rows, or a number for each column of each row, equals being moved there."""
    positions = kind(T, D)
    heads = (H,) if kind is RotaryPositions else ()
    x = torch.randn(B, *heads, 3, D, generator=generator)

    def at(start):
        padded = torch.zeros(B, *heads, T, D)
        padded[..., start : start + 3, :] = x
        return positions(padded, slice(0, T))[..., start : start + 3, :]

    same(positions(x, slice(2, 5)), at(2))
    both = positions(x, torch.tensor([[1, 2, 3], [4, 5, 6]]))
    same(both[0], at(1)[0])
    same(both[1], at(4)[1])


def test_tables_of_angles_are_not_saved():
    assert not RotaryPositions(T, D).state_dict()
    assert not SinusoidalPositions(T, C).state_dict()
    assert list(ScaledSinusoidalPositions(T, C).state_dict()) == ["gain"]


def swap_earlier_tokens(model):
    """The last position's logits before and after the tokens at 1 and 3 change places."""
    tokens = torch.tensor([[2, 3, 5, 7, 11, 4]])
    swapped = tokens[:, [0, 3, 2, 1, 4, 5]]
    return model(tokens)[:, -1], model(swapped)[:, -1]


@pytest.mark.parametrize("positions", ["learned", "sinusoidal", "rotary"])
@pytest.mark.parametrize("num_blocks", [1, 2])
def test_swapping_two_earlier_tokens_changes_later_logits(make_gpt, positions, num_blocks):
    before, after = swap_earlier_tokens(make_gpt(positions=positions, num_blocks=num_blocks))
    assert (before - after).abs().max() > 1e-3  # rounding is below 1e-12


def test_one_block_without_positions_does_not_see_the_order_of_earlier_tokens(make_gpt):
    same(*swap_earlier_tokens(make_gpt(positions="none", num_blocks=1)))


def test_two_blocks_without_positions_see_the_order_through_the_causal_mask(make_gpt):
    before, after = swap_earlier_tokens(make_gpt(positions="none", num_blocks=2))
    assert (before - after).abs().max() > 1e-3


def test_rotary_and_no_positions_add_nothing_to_the_embeddings(make_gpt):
    tokens = torch.tensor([[4, 4, 4, 4]])
    for positions in ("rotary", "none"):
        model = make_gpt(positions=positions)
        x = model.position_embedding(model.token_embedding(tokens), slice(0, 4))
        assert torch.equal(x, model.token_embedding(tokens))


def test_similarity_of_learned_positions_is_the_cosine_of_each_two():
    positions = LearnedPositions(T, C)
    similarity = positions.similarity()
    for one in range(T):
        for other in range(T):
            a, b = positions.weight[one], positions.weight[other]
            same(similarity[one, other], a @ b / (a.norm() * b.norm()))
