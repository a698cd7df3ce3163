"""Formulas and layers in plain NumPy: compared with torch, and the errors they raise."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from transformer.lessons.numpy_reference import (
    Dropout,
    EncoderLayer,
    FeedForward,
    Linear,
    MultiHeadAttention,
    Transformer,
    attention_weights,
    cross_entropy,
    layer_norm,
    positional_encoding,
    scaled_dot_product_attention,
    softmax,
)

pytestmark = pytest.mark.parity
B, H, T, S, D, V = 2, 3, 5, 7, 11, 13
C = H * D


@pytest.fixture
def draw():
    """Normal numbers of a shape, from one seeded generator."""
    return np.random.default_rng(0).normal


def same(ours, theirs):
    """The same mathematics in float64."""
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-10, strict=True)


def test_the_example_of_the_documentation_runs(capsys):
    model = Transformer(num_layers=2, d_model=64, num_heads=4, d_ff=128, vocab_size=10000)
    tokens = np.random.randint(0, 10000, size=(2, 10))
    print(tokens.shape, model.forward(tokens).shape)
    assert capsys.readouterr().out == "(2, 10) (2, 10, 64)\n"


@pytest.mark.parametrize("axis", [-1, 0, 1, 2])
def test_softmax_is_torchs_along_every_axis(axis, draw):
    x = draw(size=(B, T, V))
    same(softmax(x, axis), torch.from_numpy(x).softmax(axis).numpy())


def test_softmax_of_large_numbers_is_that_of_their_differences():
    large = np.array([[1e5, 1e5 + 1, -1e300]])
    same(softmax(large), softmax(np.array([[0.0, 1.0, -np.inf]])))
    same(softmax(np.array([0, 0])), np.array([0.5, 0.5]))


@pytest.mark.parametrize("dtype", [np.int64, np.float32])
def test_what_comes_out_is_float64_whatever_goes_in(dtype):
    x = np.arange(6).reshape(2, 3).astype(dtype)
    for y in (softmax(x), scaled_dot_product_attention(x, x, x), layer_norm(x, np.ones(3))):
        assert y.dtype == np.float64
    same(
        scaled_dot_product_attention(x, x, x), scaled_dot_product_attention(*[x.astype(float)] * 3)
    )


@pytest.mark.parametrize("shape", [None, (T, S), (B, 1, T, S), (1, H, T, S), (B, H, T, S)])
def test_attention_is_torchs_with_and_without_a_mask(shape, draw):
    q, k, v = draw(size=(B, H, T, D)), draw(size=(B, H, S, D)), draw(size=(B, H, S, D))
    mask = None if shape is None else draw(size=shape) > 0
    given = None if mask is None else torch.from_numpy(mask)
    theirs = F.scaled_dot_product_attention(*map(torch.from_numpy, (q, k, v)), attn_mask=given)
    same(scaled_dot_product_attention(q, k, v, mask), theirs.numpy())


def test_a_row_with_nothing_to_read_gives_zeros_and_others_sum_to_one(draw):
    mask = np.tri(T, dtype=bool)
    mask[2] = False
    weights = attention_weights(draw(size=(B, T, D)), draw(size=(B, T, D)), mask)
    same(weights.sum(axis=-1), np.tile([1.0, 1.0, 0.0, 1.0, 1.0], (B, 1)))
    assert ((weights > 0) == mask).all()


@pytest.mark.parametrize("mask_shape", [None, (T, S), (B, T, S), (B, H, T, S)])
def test_multi_head_attention_is_torchs(mask_shape, draw):
    """Their matrices are ours transposed, those of queries, keys and values below each other."""
    ours = MultiHeadAttention(C, H)
    for array in ours.parameters.values():
        array[...] = draw(size=array.shape)
    theirs = torch.nn.MultiheadAttention(C, H, batch_first=True, dtype=torch.float64)
    parts = [ours.query, ours.key, ours.value]
    with torch.no_grad():
        for name, theirs_in in (("weight", theirs.in_proj_weight), ("bias", theirs.in_proj_bias)):
            theirs_in.copy_(torch.from_numpy(np.concatenate([p.parameters[name].T for p in parts])))
        theirs.out_proj.weight.copy_(torch.from_numpy(ours.output.parameters["weight"].T))
        theirs.out_proj.bias.copy_(torch.from_numpy(ours.output.parameters["bias"]))
    mask = None if mask_shape is None else (draw(size=mask_shape) > 0) | np.eye(T, S, dtype=bool)
    hidden = None
    if mask is not None:  # theirs is true where a position may not be read, of shape (B H, T, S)
        full = np.broadcast_to(mask[:, None] if mask.ndim == 3 else mask, (B, H, T, S))
        hidden = torch.from_numpy(~full.reshape(B * H, T, S))
    Q, K, V = draw(size=(B, T, C)), draw(size=(B, S, C)), draw(size=(B, S, C))
    inputs = [torch.from_numpy(array).requires_grad_() for array in (Q, K, V)]
    output = theirs(*inputs, attn_mask=hidden, need_weights=False)[0]
    same(ours.forward(Q, K, V, mask), output.detach().numpy())
    gradient = draw(size=(B, T, C))
    output.backward(torch.from_numpy(gradient))
    for got, expected in zip(ours.backward(gradient), inputs, strict=True):
        assert expected.grad is not None
        np.testing.assert_allclose(got, expected.grad.numpy(), rtol=0, atol=1e-8)


@pytest.mark.parametrize("width", [6, 7])
def test_positions_are_sines_and_cosines_of_falling_frequency(width):
    for t, row in enumerate(positional_encoding(T, width)):
        for i, number in enumerate(row):
            angle = t / 10000 ** (2 * (i // 2) / width)
            assert number == pytest.approx(math.cos(angle) if i % 2 else math.sin(angle))


def test_cross_entropy_and_its_gradient_are_torchs(draw):
    logits, targets = draw(size=(B, T, V)) * 100, np.arange(B * T).reshape(B, T)
    theirs = torch.from_numpy(logits).requires_grad_()
    expected = F.cross_entropy(theirs.flatten(0, 1), torch.from_numpy(targets).flatten())
    expected.backward()
    loss, gradient = cross_entropy(logits, targets)
    assert loss == pytest.approx(expected.item(), abs=1e-10)
    assert theirs.grad is not None
    same(gradient, theirs.grad.numpy())


def test_matrices_start_within_xaviers_limits_and_depend_on_the_generator_alone():
    first, again, other = (
        Linear(200, 100, np.random.default_rng(seed)).parameters["weight"] for seed in (1, 1, 2)
    )
    limit = math.sqrt(6 / 300)
    assert 0.99 * limit < np.abs(first).max() <= limit
    assert first.var() == pytest.approx(limit**2 / 3, rel=0.05)  # 20000 numbers
    assert (first == again).all()
    assert (first != other).all()


def test_dropout_zeroes_a_share_of_the_numbers_in_training_and_scales_up_the_others():
    x = np.ones((100, 100))
    dropout = Dropout(0.25, np.random.default_rng(0))
    assert (dropout.forward(x) == x).all()
    dropped = dropout.forward(x, training=True)
    assert np.unique(dropped).tolist() == [0.0, 1 / 0.75]
    assert (dropped == 0).mean() == pytest.approx(0.25, abs=0.02)  # 10000 numbers
    assert (dropout.backward(x) == dropped).all()
    again = Dropout(0.25, np.random.default_rng(0))
    assert (again.forward(x, training=True) == dropped).all()


def test_heads_that_do_not_share_the_width_evenly_are_refused():
    for make in (
        MultiHeadAttention,
        lambda d_model, num_heads: EncoderLayer(d_model, num_heads, 4),
    ):
        with pytest.raises(ValueError, match="got d_model=10 and num_heads=3"):
            make(10, 3)
    with pytest.raises(ValueError, match="got d_model=10 and num_heads=0"):
        Transformer(num_layers=1, d_model=10, num_heads=0, d_ff=4, vocab_size=V)


def zeros(*shape):
    return np.zeros(shape)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: scaled_dot_product_attention(zeros(T, D), zeros(S, C), zeros(S, D)),
            r"same last axis, got \(5, 11\) and \(7, 33\)",
        ),
        (
            lambda: scaled_dot_product_attention(zeros(T, D), zeros(S, D), zeros(T, D)),
            r"the same length, got \(7, 11\) and \(5, 11\)",
        ),
        (
            lambda: attention_weights(zeros(T, D), zeros(S, D), zeros(T, T) == 0),
            r"mask of shape \(5, 5\) does not fit scores of shape \(5, 7\)",
        ),
        (
            lambda: attention_weights(zeros(T, D), zeros(S, D), zeros(B, T, S) == 0),
            r"mask of shape \(2, 5, 7\) does not fit scores of shape \(5, 7\)",
        ),
        (
            lambda: attention_weights(zeros(T, D), zeros(S, D), zeros(T, S)),
            "mask must be bool, True = may be read, got float64",
        ),
        (
            lambda: MultiHeadAttention(C, H).forward(
                zeros(B, T, C), zeros(B, S, C), zeros(B, T, C)
            ),
            r"got \(2, 5, 33\), \(2, 7, 33\) and \(2, 5, 33\)",
        ),
        (
            lambda: FeedForward(C, 4).forward(zeros(B, T, D)),
            r"x of shape \(2, 5, 11\) does not fit a weight of shape \(33, 4\)",
        ),
        (
            lambda: cross_entropy(zeros(B, T, V), np.zeros((B, S), dtype=int)),
            r"logits \(2, 5, 13\) do not fit targets \(2, 7\)",
        ),
        (
            lambda: cross_entropy(zeros(B, V), np.array([V, 1])),
            "targets must be from 0 to 12, got 13",
        ),
        (
            lambda: Transformer(1, C, H, 4, V).forward(np.array([[0, -1]])),
            "tokens must be from 0 to 12, got -1",
        ),
        (
            lambda: Transformer(1, C, H, 4, V).forward(zeros(B, T)),
            "tokens must be whole numbers, got float64",
        ),
        (lambda: Dropout(1.0, np.random.default_rng(0)), "at least 0 and below 1, got 1.0"),
    ],
)
def test_what_does_not_fit_is_refused_with_both_values(call, message):
    with pytest.raises(ValueError, match=message):
        call()
