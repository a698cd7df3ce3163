"""LoRA: the adapter of a frozen model, and the one matrix that computes the same."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

from transformer.models import build_model
from transformer.models.growing import begin_with, grown, grown_tensors
from transformer.models.low_rank import (
    AdapterSettings,
    LowRankLinear,
    MergedWeights,
    adapt,
    merge,
    trained_tensors,
)
from transformer.models.parts.attention import FusedLinear
from transformer.storage.metadata import distinct_tensors
from transformer.training.optimization.optimizers import make_optimizer
from transformer.training.settings import OptimizerSettings

V, T, RANK = 13, 7, 3
SHAPE = {
    **{"model": "gpt", "vocab_size": V, "block_size": T},
    **{"embedding_dim": 12, "num_heads": 6, "num_blocks": 2},
}
MODERN = {"positions": "rotary", "norm": "rmsnorm", "activation": "swiglu", "bias": False}
FAMILIES = {
    "gpt2": {"activation": "gelu_tanh"},
    "llama": {**MODERN, "num_kv_heads": 2, "tie_weights": False},
    "qwen3": {**MODERN, "num_kv_heads": 3, "head_dim": 10, "qk_norm": True},
}
PRECISIONS = ("float32", "bf16", "int8")
OPTIMIZER = {"lr": 0.05, "weight_decay": 0.1, "beta1": 0.9, "beta2": 0.95, "eps": 1e-8}


def settings(**changes):
    return AdapterSettings(**{"lora_rank": RANK, **changes})


def made(options, generator):
    model = build_model(**SHAPE | options).eval()
    with torch.no_grad():
        for part in model.parameters():  # also those that are 0 at first
            part.copy_(torch.randn(part.shape, generator=generator) / 3)
    return model


def trained(model, generator):
    """As after training: no part of the adapter is 0."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("up.weight"):
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return model


@pytest.fixture
def tokens(generator):
    return torch.randint(V, (5, T), generator=generator)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_merged_model_computes_the_same(float64, family, precision, tokens, generator):
    model = made(FAMILIES[family], generator)
    adapt(model, settings(base_precision=precision, lora_alpha=5.0))
    unmerged = trained(model.double(), generator)(tokens)
    weights = {name: tensor.clone() for name, tensor in MergedWeights(model).items()}
    merge(model)
    assert_close(model(tokens), unmerged, rtol=0, atol=1e-10)
    assert {type(part) for part in model.blocks[0].attention.children()} >= {FusedLinear}
    again = distinct_tensors(model.state_dict())
    assert weights.keys() == again.keys()
    assert all(torch.equal(weights[name], again[name]) for name in again)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_new_adapter_changes_nothing_and_merges_to_the_same_bits(family, tokens, generator):
    model = made(FAMILIES[family], generator)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    wanted = model(tokens)
    adapt(model, settings())
    assert torch.equal(model(tokens), wanted)
    merge(model)
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(("precision", "error"), [("bf16", 2**-8), ("int8", 1 / 127)])
def test_a_rounded_base_is_near_the_base(precision, error, generator):
    model = made({}, generator)
    matrix = model.blocks[0].feedforward.input.weight.clone()
    adapt(model, settings(base_precision=precision))
    rounded = model.blocks[0].feedforward.input.merged_weight()
    assert not torch.equal(rounded, matrix)
    assert ((rounded - matrix).abs() <= error * matrix.abs().amax(dim=1, keepdim=True)).all()


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_the_gradient_goes_through_a_rounded_base_and_no_wide_copy_of_it_is_kept(
    float64, precision, generator
):
    rows, width, outputs = 2, 11, 17
    layer = LowRankLinear(nn.Linear(width, outputs), settings(base_precision=precision)).double()
    x = torch.randn(rows, width, generator=generator, requires_grad=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: (kept.append(t), t)[1], lambda t: t):
        y = layer.base(x)
    small = torch.int8 if precision == "int8" else torch.float64  # which .double() makes of bf16
    assert {tensor.dtype for tensor in kept if tensor.shape == (outputs, width)} == {small}
    direction = torch.randn(y.shape, generator=generator)
    (gradient,) = torch.autograd.grad(y, x, direction)
    assert_close(gradient, direction @ layer.base.weight, rtol=0, atol=1e-10)
    assert_close(y, F.linear(x, layer.base.weight, layer.base.bias), rtol=0, atol=1e-10)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_only_the_adapter_is_trained(optimizer, tokens, generator):
    model = made(FAMILIES["llama"], generator)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    adapt(model, settings(lora_dropout=0.3))
    adapter = trained_tensors(model)
    assert all(name.endswith((".down.weight", ".up.weight")) for name in adapter)
    assert len(adapter) == 2 * 4 * 2  # two for each of the four matrices of two blocks
    steps = make_optimizer(model, OptimizerSettings(optimizer=optimizer, **OPTIMIZER))
    for _ in range(3):
        F.cross_entropy(model.train()(tokens).flatten(0, 1), tokens.flatten()).backward()
        steps.step()
        steps.zero_grad()
    held = {id(p) for group in steps.param_groups for p in group["params"]}
    assert held == {id(p) for p in model.parameters() if p.requires_grad}
    assert all(tensor.abs().min() > 0 for tensor in adapter.values())
    after = {name.replace(".base.", "."): tensor for name, tensor in model.state_dict().items()}
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_the_rank_is_that_of_the_change(float64, generator):
    model = made({}, generator).double()
    before = model.blocks[1].attention.qkv.weight.detach().clone()
    adapt(model, settings(lora_alpha=4.5))
    adapter = trained(model, generator).blocks[1].attention.qkv
    change = adapter.merged_weight() - before
    assert torch.linalg.matrix_rank(change) == RANK
    assert_close(change, 4.5 / RANK * adapter.up.weight @ adapter.down.weight, rtol=0, atol=1e-10)


def test_tables_with_new_rows_are_trained_whole():
    old = build_model(**SHAPE)
    architecture = grown(old.architecture, V + 2) | {"block_size": T + 2}
    new = build_model(**architecture)
    begin_with(new, old)
    tables = grown_tensors(new.architecture, old.architecture)
    adapt(new, settings(), tables)
    plain = {name for name in trained_tensors(new) if not name.startswith("blocks")}
    assert plain == {"token_embedding.weight", "lm_head.bias", "position_embedding.weight"}
    assert grown_tensors(old.architecture, old.architecture) == []
    assert grown_tensors(old.architecture, new.architecture) == []  # shorter
