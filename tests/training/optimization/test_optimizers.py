"""Which parameters get weight decay, and which arguments the optimizer gets."""

import pytest
import torch
from torch.testing import assert_close

from transformer.training.optimization.optimizers import make_optimizer, parameter_groups
from transformer.training.settings import OptimizerSettings

pytestmark = pytest.mark.parity
SETTINGS = {"lr": 0.01, "weight_decay": 0.1, "beta1": 0.8, "beta2": 0.9, "eps": 1e-7}
OPTIONS = [
    {},
    {"tie_weights": False},
    {"bias": False},
    {"norm": "rmsnorm", "positions": "rotary", "activation": "swiglu"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_matrices_decay_and_vectors_do_not(make_gpt, options):
    model = make_gpt(**options)
    names = {id(p): name for name, p in model.named_parameters()}
    decayed, others = parameter_groups(model, 0.1)
    assert decayed["weight_decay"] == 0.1
    assert others["weight_decay"] == 0.0
    undecayed = {names[id(p)] for p in others["params"]}
    expected = {n for n in names.values() if n.endswith(".bias") or "norm." in n}
    assert undecayed == expected


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_parameter_is_in_exactly_one_group(make_gpt, options):
    model = make_gpt(**options)
    grouped = [id(p) for group in parameter_groups(model, 0.1) for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in model.parameters())
    assert len(grouped) == len(set(grouped))


def test_parameters_that_are_frozen_are_left_out(make_gpt):
    model = make_gpt()
    model.token_embedding.weight.requires_grad_(False)
    grouped = [id(p) for group in parameter_groups(model, 0.1) for p in group["params"]]
    assert id(model.token_embedding.weight) not in grouped
    assert len(grouped) == len(list(model.parameters())) - 1


def test_a_model_without_vectors_has_one_group():
    groups = parameter_groups(torch.nn.Embedding(13, 13), 0.1)
    assert [group["weight_decay"] for group in groups] == [0.1]


def adamw_by_hand(weight, gradients, weight_decay):
    """Loshchilov and Hutter 2019 (arXiv:1711.05101), algorithm 2."""
    lr, beta1, beta2, eps = (SETTINGS[name] for name in ("lr", "beta1", "beta2", "eps"))
    mean, square = torch.zeros_like(weight), torch.zeros_like(weight)
    for step, gradient in enumerate(gradients, start=1):
        mean = beta1 * mean + (1 - beta1) * gradient
        square = beta2 * square + (1 - beta2) * gradient**2
        scaled = (mean / (1 - beta1**step)) / ((square / (1 - beta2**step)).sqrt() + eps)
        weight = weight - lr * (scaled + weight_decay * weight)
    return weight


@pytest.mark.usefixtures("float64")
def test_three_steps_equal_the_paper_with_decay_on_matrices_alone(generator):
    model = torch.nn.Linear(5, 3)
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    gradients = {n: torch.randn(3, *p.shape, generator=generator) for n, p in start.items()}
    optimizer = make_optimizer(model, OptimizerSettings(optimizer="adamw", **SETTINGS))
    for step in range(3):
        for name, parameter in model.named_parameters():
            parameter.grad = gradients[name][step]
        optimizer.step()
    for name, parameter in model.named_parameters():
        decay = SETTINGS["weight_decay"] if name == "weight" else 0.0
        expected = adamw_by_hand(start[name], gradients[name], decay)
        assert_close(parameter.detach(), expected, rtol=0, atol=1e-10)  # same maths, float64


def test_an_unknown_optimizer_lists_the_known_ones(make_gpt):
    with pytest.raises(ValueError, match=r"optimizer must be one of .*adamw.*, got 'sgd'"):
        make_optimizer(make_gpt(), OptimizerSettings(optimizer="sgd", **SETTINGS))
