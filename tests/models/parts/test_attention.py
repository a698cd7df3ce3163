"""Attention: the formula, the fused kernel, masks, and what a position may see."""

import math
from functools import partial

import pytest
import torch
from torch.testing import assert_close

from transformer.models.parts.attention import (
    MultiHeadAttention,
    attention,
    attention_weights,
    causal_mask,
    fused_attention,
)

B, H, T, S, D = 2, 3, 5, 7, 11

same = partial(assert_close, rtol=0, atol=1e-10)  # the same mathematics in float64

pytestmark = [pytest.mark.parity, pytest.mark.usefixtures("float64")]


@pytest.fixture
def qkv(generator):
    shapes = (B, H, T, D), (B, H, S, D), (B, H, S, D)
    return [torch.randn(shape, generator=generator) for shape in shapes]


@pytest.fixture
def mask(generator):
    """Each row reads something, no two rows the same."""
    mask = torch.rand(B, H, T, S, generator=generator) < 0.5
    mask[..., 0] |= ~mask.any(dim=-1)
    return mask


def with_silent_row(size):
    """A causal mask in which position 2 may read nothing, not even itself."""
    mask = causal_mask(size)
    mask[2] = False
    return mask


def test_weights_are_the_softmax_of_products_over_the_square_root_of_head_dim(qkv):
    q, k, _ = qkv
    weights = attention_weights(q, k)
    for b, h, t in torch.cartesian_prod(torch.arange(B), torch.arange(H), torch.arange(T)):
        scores = [math.exp(float(q[b, h, t].dot(k[b, h, s])) / math.sqrt(D)) for s in range(S)]
        same(weights[b, h, t], torch.tensor(scores) / sum(scores))


def test_rows_sum_to_one_and_what_is_masked_has_weight_zero(qkv, mask):
    q, k, _ = qkv
    same(attention_weights(q, k).sum(dim=-1), torch.ones(B, H, T))
    weights = attention_weights(q, k, mask)
    same(weights.sum(dim=-1), torch.ones(B, H, T))
    assert torch.equal(weights > 0, mask)


def test_explicit_equals_fused_without_a_mask(qkv):
    same(attention(*qkv), fused_attention(*qkv))


def test_explicit_equals_fused_with_a_mask(qkv, mask):
    same(attention(*qkv, mask), fused_attention(*qkv, mask))


@pytest.mark.parametrize("attend", [attention, fused_attention])
def test_neighboring_heads_share_keys_and_values(attend, mask, generator):
    """As if each had its own, with and without a mask, and for the gradients too."""
    q = torch.randn(B, 2 * H, T, D, generator=generator)
    shared = [torch.randn(B, H, S, D, generator=generator, requires_grad=True) for _ in range(2)]
    own = [x.detach().repeat_interleave(2, dim=1).requires_grad_() for x in shared]
    for each in (None, mask.repeat_interleave(2, dim=1)):
        ours, theirs = attend(q, *shared, each), attend(q, *own, each)
        same(ours, theirs)
        gradients = torch.autograd.grad(ours.square().sum(), shared)
        of_own = torch.autograd.grad(theirs.square().sum(), own)
        for gradient, expected in zip(gradients, of_own, strict=True):
            same(gradient, expected.unflatten(1, (H, 2)).sum(2))
    same(attention_weights(q, shared[0]), attention_weights(q, own[0]))


@pytest.mark.parametrize("shape", [(1, 1, T, S), (B, 1, T, S), (1, H, T, S)])
def test_a_mask_may_be_shared_by_rows_of_the_batch_and_by_heads(qkv, mask, shape):
    shared = mask[: shape[0], : shape[1]]
    expected = attention(*qkv, shared.expand(B, H, T, S))
    same(attention(*qkv, shared), expected)
    same(fused_attention(*qkv, shared), expected)


def test_fused_causal_equals_explicit_with_a_causal_mask(qkv):
    q, k, v = (tensor[..., :T, :] for tensor in qkv)
    explicit = attention(q, k, v, causal_mask(T)[None, None])
    same(fused_attention(q, k, v, causal=True), explicit)
    same(attention(q, k, v, causal=True), explicit)


def test_causal_mask_lets_a_position_read_itself_and_all_before_it():
    expected = [[s <= t for s in range(T)] for t in range(T)]
    assert causal_mask(T).tolist() == expected


@pytest.mark.parametrize("function", [attention, fused_attention])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_row_that_may_read_nothing_gives_zeros_and_finite_gradients(qkv, function, dtype):
    q, k, v = (tensor[..., :T, :].to(dtype).requires_grad_() for tensor in qkv)
    output = function(q, k, v, with_silent_row(T)[None, None])
    assert torch.equal(output[:, :, 2], torch.zeros(B, H, D, dtype=dtype))
    output.square().sum().backward()
    for tensor in (q, k, v):
        assert tensor.grad.isfinite().all()
    assert torch.equal(q.grad[:, :, 2], torch.zeros(B, H, D, dtype=dtype))


def test_dropout_zeroes_weights_and_rescales_the_others(qkv):
    q, k, _ = qkv
    q, k = q[..., :S], k[..., :S]
    identity = torch.eye(S).expand(B, H, S, S)  # values that let the weights be read off
    torch.manual_seed(0)
    dropped = attention(q, k, identity, dropout=0.5)
    kept = dropped != 0
    assert kept.any()
    assert not kept.all()
    same(dropped[kept], 2 * attention_weights(q, k)[kept])


def test_the_softmax_of_bfloat16_scores_is_worked_out_in_float32(qkv):
    """With four numbers a head, so that the scale, a power of two, rounds nothing."""
    q, k = (tensor[..., :4].bfloat16() for tensor in qkv[:2])
    scores = (q * 0.5) @ k.transpose(-2, -1)
    assert torch.equal(attention_weights(q, k), scores.float().softmax(dim=-1).bfloat16())


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("hidden", [None, 1], ids=["no mask", "mask"])
@pytest.mark.parametrize("qk_norm", [True, False])
def test_a_layer_is_the_same_on_either_path_in_bfloat16(causal, hidden, qk_norm, generator):
    layer = MultiHeadAttention(H * D, H, causal=causal, qk_norm=qk_norm).bfloat16()
    x = torch.randn(B, T, H * D, generator=generator).bfloat16()
    mask = None if hidden is None else (torch.arange(T) != hidden).expand(1, 1, T, T)
    results = []
    for layer.attend in (attention, fused_attention):
        layer.zero_grad()
        output = layer(x, mask)
        output.square().sum().backward()
        results.append([output, *(p.grad for p in layer.parameters())])
    for ours, theirs in zip(*results, strict=True):
        # bfloat16 has 8 bits; gradients are sums of many terms, so relative to the largest.
        assert_close(ours, theirs, rtol=2e-2, atol=2e-2 * theirs.abs().max().item())


def test_tokens_that_a_mask_hides_change_no_other_logits(make_gpt, generator):
    model = make_gpt()
    tokens = torch.randint(13, (B, T), generator=generator)
    changed = tokens.clone()
    changed[:, 1] = (changed[:, 1] + 1) % 13
    mask = torch.ones(T, T, dtype=torch.bool)
    mask[:, 1] = False
    others = [0, 2, 3, 4]
    same(model(changed, mask)[:, others], model(tokens, mask)[:, others])
    assert not torch.allclose(model(changed)[:, 2:], model(tokens)[:, 2:])


def test_a_mask_for_each_row_of_the_batch_acts_on_that_row(make_gpt, generator):
    model = make_gpt()
    tokens = torch.randint(13, (B, T), generator=generator)
    masks = torch.stack((with_silent_row(T), causal_mask(T)))  # (B, T, T)
    logits = model(tokens, masks)
    same(logits[:1], model(tokens[:1], masks[0]))
    same(logits[1:], model(tokens[1:]))
    assert not torch.allclose(logits[0], model(tokens)[0])


@pytest.mark.parametrize("shape", [(T, T), (B, T, T)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_model_in_which_a_position_reads_nothing_stays_finite(make_gpt, shape, dtype, generator):
    model = make_gpt().to(dtype)
    tokens = torch.randint(13, (B, T), generator=generator)
    logits = model(tokens, with_silent_row(T).expand(shape))
    logits.logsumexp(dim=-1).sum().backward()
    assert logits.isfinite().all()
    assert all(p.grad.isfinite().all() for p in model.parameters())
