"""Optimizer states keyed by name and by number; the choice of a strategy."""

import pytest
import torch
from pytorch_lightning.strategies import DDPStrategy

from transformer.training.optimization.optimizers import make_optimizer
from transformer.training.settings import OptimizerSettings
from transformer.training.sharding import ShardedStrategy, named, numbered
from transformer.training.strategies import make_strategy

SETTINGS = {"lr": 1e-3, "weight_decay": 0.1, "beta1": 0.9, "beta2": 0.95, "eps": 1e-8}


@pytest.fixture
def trained(make_gpt):
    """A model and its optimizer, whose groups are not in the order of the parameters."""
    model = make_gpt()
    optimizer = make_optimizer(model, OptimizerSettings(optimizer="adamw", **SETTINGS))
    model(torch.ones(2, 7, dtype=torch.long)).sum().backward()
    optimizer.step()
    return model, optimizer


def test_a_state_with_names_and_back_is_the_same(trained):
    model, optimizer = trained
    state = optimizer.state_dict()
    names = named(state, model, optimizer)
    for name, moments in names["state"].items():
        parameter = model.get_parameter(name)
        assert moments["exp_avg"] is optimizer.state[parameter]["exp_avg"]
    back = numbered(names)
    assert back["param_groups"] == state["param_groups"]
    assert list(back["state"]) == list(state["state"])
    assert all(back["state"][number] is state["state"][number] for number in state["state"])


@pytest.mark.parametrize(
    ("name", "num_devices", "kind"),
    [
        ("auto", 2, DDPStrategy),
        ("ddp", 1, DDPStrategy),
        ("fsdp", 2, ShardedStrategy),
        ("auto", 1, str),
    ],
)
def test_the_strategy_of_a_name(name, num_devices, kind):
    assert isinstance(make_strategy(name, num_devices), kind)
