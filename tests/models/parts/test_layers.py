"""Feed-forwards and the block, beside torch's own."""

import os
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from transformer.models.gpt import GPT
from transformer.models.parts.attention import MultiHeadAttention, causal_mask
from transformer.models.parts.layers import (
    Block,
    make_feedforward,
    recompute_blocks,
    skipped_initialization,
)
from transformer.models.parts.norms import make_norm

pytestmark = pytest.mark.parity
B, T, H, D, F = 2, 5, 3, 7, 17
C = H * D

same = partial(assert_close, rtol=0, atol=1e-10)  # the same mathematics in float64

# Ours -> names in torch.nn.TransformerEncoderLayer
TORCH_NAMES = {
    "attention_norm.weight": "norm1.weight",
    "attention_norm.bias": "norm1.bias",
    "attention.qkv.weight": "self_attn.in_proj_weight",
    "attention.qkv.bias": "self_attn.in_proj_bias",
    "attention.output.weight": "self_attn.out_proj.weight",
    "attention.output.bias": "self_attn.out_proj.bias",
    "feedforward_norm.weight": "norm2.weight",
    "feedforward_norm.bias": "norm2.bias",
    "feedforward.input.weight": "linear1.weight",
    "feedforward.input.bias": "linear1.bias",
    "feedforward.output.weight": "linear2.weight",
    "feedforward.output.bias": "linear2.bias",
}


def randomize(module, generator):
    """Norms and biases too, which start at 1 and 0 and could hide there."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(generator=generator)


def make_block(activation, *, norm_first, causal):
    return Block(
        MultiHeadAttention(C, H, causal=causal),
        make_feedforward(activation, C, F),
        partial(make_norm, "layernorm", C),
        norm_first=norm_first,
    ).eval()


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("norm_first", [True, False], ids=["pre-norm", "post-norm"])
def test_a_block_equals_torchs_encoder_layer(norm_first, activation, causal, generator):
    ours = make_block(activation, norm_first=norm_first, causal=causal)
    theirs = nn.TransformerEncoderLayer(
        C, H, F, dropout=0.0, activation=activation, batch_first=True, norm_first=norm_first
    ).eval()
    randomize(ours, generator)
    state = ours.state_dict()
    theirs.load_state_dict({TORCH_NAMES[name]: tensor for name, tensor in state.items()})
    x = torch.randn(B, T, C, generator=generator, requires_grad=True)
    y = x.detach().clone().requires_grad_()
    hidden = ~causal_mask(T) if causal else None  # theirs is True where nothing may be read
    output, expected = ours(x), theirs(y, src_mask=hidden)
    same(output, expected)

    weights = torch.randn(B, T, C, generator=generator)
    (output * weights).sum().backward()
    (expected * weights).sum().backward()
    same(x.grad, y.grad)
    theirs_by_name = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        same(parameter.grad, theirs_by_name[TORCH_NAMES[name]].grad)


@pytest.mark.usefixtures("float64")
def test_swiglu_gates_with_the_first_half_of_its_input_matrix(generator):
    layer = make_feedforward("swiglu", C, F)
    randomize(layer, generator)
    x = torch.randn(B, T, C, generator=generator)
    gate, value = (
        x @ weight.T + bias
        for weight, bias in zip(layer.input.weight.chunk(2), layer.input.bias.chunk(2), strict=True)
    )
    hidden = gate / (1 + torch.exp(-gate)) * value  # silu(z) = z sigmoid(z)
    same(layer(x), hidden @ layer.output.weight.T + layer.output.bias)
    assert layer.input.weight.shape == (2 * F, C)


ACTIVATION_FORMULAS = {
    "relu": lambda z: z * (z > 0),
    "relu2": lambda z: (z * (z > 0)) ** 2,
    "gelu": lambda z: z * (1 + torch.erf(z / 2**0.5)) / 2,
    "gelu_tanh": lambda z: z * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (z + 0.044715 * z**3))) / 2,
}


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("activation", ACTIVATION_FORMULAS)
def test_a_feedforward_is_two_matrices_around_its_activation(activation, generator):
    layer = make_feedforward(activation, C, F)
    randomize(layer, generator)
    x = torch.randn(B, T, C, generator=generator)
    hidden = ACTIVATION_FORMULAS[activation](x @ layer.input.weight.T + layer.input.bias)
    same(layer(x), hidden @ layer.output.weight.T + layer.output.bias)


def test_without_bias_no_part_has_one():
    for name in ("layernorm", "rmsnorm"):
        assert [n for n, _ in make_norm(name, C, bias=False).named_parameters()] == ["weight"]
    for activation in ("gelu", "swiglu"):
        names = [n for n, _ in make_feedforward(activation, C, F, bias=False).named_parameters()]
        assert names == ["input.weight", "output.weight"]


def test_unknown_names_of_parts_list_the_known_ones():
    shape = {"vocab_size": 13, "block_size": 7, "embedding_dim": 6, "num_heads": 3}
    with pytest.raises(ValueError, match="one of gelu, gelu_tanh, relu, relu2, swiglu, got 'tanh'"):
        make_feedforward("tanh", C, F)
    with pytest.raises(ValueError, match="norm must be layernorm or rmsnorm, got 'batchnorm'"):
        make_norm("batchnorm", C)
    with pytest.raises(ValueError, match="learned, sinusoidal, rotary, none, got 'alibi'"):
        GPT(**shape, num_blocks=1, positions="alibi")


@pytest.mark.parametrize("activation", ["gelu", "swiglu"])
def test_what_writes_into_the_residual_stream_starts_smaller_with_depth(activation):
    """The deviation of n drawn numbers is off by 1 / sqrt(2 n): here, n >= 2700, 1.4 %."""
    torch.manual_seed(0)
    model = GPT(
        vocab_size=53,
        block_size=53,
        embedding_dim=53,
        num_heads=1,
        num_blocks=3,
        activation=activation,
    )
    for name, parameter in model.named_parameters():
        if parameter.ndim < 2:
            continue
        expected = 0.02 / 6**0.5 if name.endswith("output.weight") else 0.02
        assert parameter.std().item() == pytest.approx(expected, rel=0.07), name  # five deviations
        assert abs(parameter.mean().item()) < 5 * expected / parameter.numel() ** 0.5, name


def test_norms_start_at_one_and_biases_at_zero():
    model = GPT(vocab_size=13, block_size=7, embedding_dim=30, num_heads=3, num_blocks=2)
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:
            start = torch.ones if name.endswith("norm.weight") else torch.zeros
            assert torch.equal(parameter, start(len(parameter))), name


def test_blocks_that_are_computed_again_give_the_same_gradients(make_gpt):
    """Dropout draws the same numbers the second time."""
    tokens = torch.randint(13, (3, 7), generator=torch.Generator().manual_seed(1))
    gradients = []
    for recompute in (False, True):
        model = make_gpt(dropout=0.3).train()
        if recompute:
            recompute_blocks(model)
        torch.manual_seed(5)
        logits = model(tokens)
        logits.square().mean().backward()
        gradients.append([logits.detach(), *(p.grad for p in model.parameters())])
    assert all(torch.equal(*both) for both in zip(*gradients, strict=True))


def test_a_block_that_is_computed_again_runs_twice_in_training_alone(make_gpt):
    model = make_gpt().train()
    calls = []
    model.blocks[0].attention.register_forward_hook(lambda *_: calls.append(1))
    recompute_blocks(model)
    model(torch.ones(1, 3, dtype=torch.long)).sum().backward()
    assert len(calls) == 2
    model.eval()(torch.ones(1, 3, dtype=torch.long)).sum().backward()
    assert len(calls) == 3


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="asks Linux for its memory")
def test_a_model_without_initialization_takes_no_memory_until_it_is_written_to():
    def resident_bytes():
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    sizes = {"vocab_size": 50_000, "block_size": 8, "embedding_dim": 1024, "num_heads": 8}
    before = resident_bytes()
    with skipped_initialization():
        model = GPT(**sizes, num_blocks=2)
    assert sum(p.nbytes for p in model.parameters()) > 300e6
    assert resident_bytes() - before < 30e6
