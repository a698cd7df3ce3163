"""A step with a non-finite gradient changes nothing and is counted."""

import copy
import math

import pytest
import torch
from torch.testing import assert_close

from transformer.system.errors import UserError
from transformer.training.optimization.optimizers import OPTIMIZERS, make_optimizer
from transformer.training.optimization.step_guard import MOST_IN_A_ROW, StepGuard, skip_step
from transformer.training.settings import OptimizerSettings

pytestmark = pytest.mark.parity
SETTINGS = {"lr": 1e-2, "weight_decay": 0.1, "beta1": 0.9, "beta2": 0.95, "eps": 1e-8}


def with_gradients(model, value=None):
    generator = torch.Generator().manual_seed(4)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)
        if value is not None:
            parameter.grad.flatten()[0] = value


@pytest.fixture(params=OPTIMIZERS)
def trained(request, make_gpt):
    """A model and its optimizer after a step, so that there are moments."""
    model = make_gpt()
    optimizer = make_optimizer(model, OptimizerSettings(optimizer=request.param, **SETTINGS))
    with_gradients(model)
    optimizer.step()
    return model, optimizer


def everything(model, optimizer):
    return copy.deepcopy((model.state_dict(), optimizer.state_dict()["state"]))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_skipped_step_changes_neither_weights_nor_moments(trained, value):
    model, optimizer = trained
    before = everything(model, optimizer)
    with_gradients(model, value)
    skip_step(optimizer, torch.tensor(1.0))
    optimizer.step()
    assert_close(everything(model, optimizer), before, rtol=0, atol=0)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_it_is_the_optimizer_that_skips_where_reading_a_number_would_wait(trained, value):
    """As on a GPU: by `found_inf` alone."""
    model, optimizer = trained
    before = everything(model, optimizer)
    with_gradients(model, value)
    optimizer.found_inf = torch.tensor(1.0)
    optimizer.step()
    assert_close(everything(model, optimizer), before, rtol=0, atol=0)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_that_counts_is_as_without_the_guard(float64, make_gpt, name):
    results = []
    for found_inf in (None, torch.tensor(0.0, dtype=torch.float32)):  # what fused AdamW takes
        model = make_gpt()
        optimizer = make_optimizer(model, OptimizerSettings(optimizer=name, **SETTINGS))
        for _ in range(3):
            with_gradients(model)
            optimizer.found_inf = found_inf
            optimizer.step()
        results.append(everything(model, optimizer))
    bound = 2e-2 * SETTINGS["lr"] if name == "muon" else 1e-10  # of a step in bfloat16; float64
    assert_close(*results, rtol=0, atol=bound)


def test_skipped_steps_are_counted_and_reported_once(caplog):
    guard = StepGuard()
    for norm in (1.0, math.nan, 2.0, math.inf, math.inf):
        assert guard.count(torch.tensor(norm)) == (not math.isfinite(norm))
    with caplog.at_level("WARNING"):
        guard.report(5, 1e-3, 1.0)
        guard.report(5, 1e-3, 1.0)
    assert [record.message for record in caplog.records] == [
        "step 5: steps skipped because the gradient was not finite: 3 (3 in total)"
    ]


def test_many_in_a_row_end_the_run_with_advice():
    guard = StepGuard()
    for norm in (math.nan, 1.0, *[math.nan] * MOST_IN_A_ROW):
        guard.count(torch.tensor(norm))
    match = "10 steps in a row, at step 1,234 .lr 0.5, grad_norm nan.: .* give a smaller `lr`"
    with pytest.raises(UserError, match=match):
        guard.report(1234, 0.5, math.nan)


def test_a_resumed_run_goes_on_counting():
    guard, resumed = StepGuard(), StepGuard()
    for norm in (math.nan, math.nan):
        guard.count(torch.tensor(norm))
    resumed.restore(guard.state())
    resumed.count(torch.tensor(math.nan))
    assert (resumed.total, resumed.in_a_row) == (3, 3)
