"""The layer around attention: heads, their norms, what is fused, causality."""

from functools import partial

import pytest
import torch
from torch.testing import assert_close

from transformer.models.parts.attention import (
    FusedLinear,
    MultiHeadAttention,
    causal_mask,
)
from transformer.models.parts.norms import NORM_EPS

B, H, T, S, D = 2, 3, 5, 7, 11

same = partial(assert_close, rtol=0, atol=1e-10)  # the same mathematics in float64

pytestmark = [pytest.mark.parity, pytest.mark.usefixtures("float64")]


def test_queries_and_keys_are_normalized_per_head_before_they_are_turned(generator):
    """To a root mean square of one, but for eps, and then by gains that all heads share."""
    turned = []
    layer = MultiHeadAttention(
        H * D, H, causal=True, qk_norm=True, rotate=lambda x, _: turned.append(x) or x
    )
    x = torch.randn(B, T, H * D, generator=generator) * 10
    layer(x)
    with torch.no_grad():
        layer.query_norm.weight.copy_(torch.arange(D))
        layer.key_norm.weight.copy_(torch.arange(D) ** 2)
    layer(x)
    parts = layer.qkv(x).unflatten(-1, (3, H, D))[:, :, :2].permute(2, 0, 3, 1, 4)
    for i, part in enumerate(parts):
        mean_square = part.square().mean(dim=-1, keepdim=True)
        same(turned[i], part * (mean_square + NORM_EPS).rsqrt())
        assert_close(turned[i].square().mean(dim=-1), torch.ones(B, H, T), rtol=0, atol=1e-3)
        same(turned[2 + i], turned[i] * torch.arange(D) ** (1 + i))


def test_a_fused_layer_is_its_matrices_one_below_the_other(generator):
    layer = FusedLinear(C := H * D, (S, S, S), bias=True)
    x = torch.randn(B, T, C, generator=generator)
    parts = zip(layer.weight.chunk(3), layer.bias.chunk(3), strict=True)
    for ours, (weight, bias) in zip(layer(x).chunk(3, dim=-1), parts, strict=True):
        same(ours, x @ weight.T + bias)
    assert layer.part_sizes == (S, S, S)


def test_heads_read_with_their_own_slice_of_queries_keys_and_values(generator):
    """Multi-head attention written as a loop over heads and positions."""
    layer = MultiHeadAttention(H * D, H, causal=True)
    x = torch.randn(B, T, H * D, generator=generator)
    weights, biases = layer.qkv.weight.chunk(3), layer.qkv.bias.chunk(3)
    q, k, v = (x @ w.T + b for w, b in zip(weights, biases, strict=True))
    heads = torch.zeros(B, T, H * D)
    for h in range(H):
        part = slice(h * D, (h + 1) * D)
        for t in range(T):
            scores = torch.einsum("bd,bsd->bs", q[:, t, part], k[:, : t + 1, part]) / D**0.5
            past = v[:, : t + 1, part]
            heads[:, t, part] = torch.einsum("bs,bsd->bd", scores.softmax(dim=-1), past)
    same(layer(x), layer.output(heads))


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("masked", [True, False])
def test_a_layers_weights_times_its_values_are_what_it_gave(generator, causal, masked):
    """Turned and normalized as in the forward pass, and with its mask."""
    layer = MultiHeadAttention(
        *(H * D, H),
        causal=causal,
        qk_norm=True,
        rotate=lambda x, positions: x.roll(1, dims=-1) * torch.arange(1, T + 1)[positions, None],
    )
    x = torch.randn(B, T, H * D, generator=generator)
    mask = torch.rand(B, 1, T, T, generator=generator) < 0.7 if masked else None
    weights = layer.weights(x, mask)
    value = layer.qkv(x).unflatten(-1, (3, H, D))[:, :, 2].transpose(1, 2)
    same(layer.output((weights @ value).transpose(1, 2).flatten(2)), layer(x, mask))
    assert weights.shape == (B, H, T, T)
    assert (weights.triu(1) == 0).all() == causal


def test_a_silent_row_of_a_layer_is_its_output_bias(generator):
    layer = MultiHeadAttention(H * D, H, causal=True)
    x = torch.randn(B, T, H * D, generator=generator, requires_grad=True)
    mask = causal_mask(T)
    mask[2] = False
    output = layer(x, mask[None, None])
    same(output[:, 2], layer.output.bias.expand(B, -1))
    output.square().sum().backward()
    assert x.grad.isfinite().all()
    assert all(p.grad.isfinite().all() for p in layer.parameters())


def test_a_causal_layer_with_a_mask_still_reads_no_later_position(generator):
    layer = MultiHeadAttention(H * D, H, causal=True)
    x = torch.randn(B, T, H * D, generator=generator)
    same(layer(x, torch.ones(1, 1, T, T, dtype=torch.bool)), layer(x))


def test_a_layer_that_is_not_causal_reads_every_position(generator):
    layer = MultiHeadAttention(H * D, H, causal=False)
    x = torch.randn(B, T, H * D, generator=generator)
    reversed_output = layer(x.flip(1)).flip(1)
    same(layer(x), reversed_output)


@pytest.mark.parametrize("num_heads", [4, 0, -1])
def test_embedding_dim_that_heads_do_not_divide_is_refused(num_heads):
    message = f"divisible by num_heads, got embedding_dim=30 and num_heads={num_heads}"
    with pytest.raises(ValueError, match=message):
        MultiHeadAttention(30, num_heads, causal=True)
