"""Every run logs the norm of its gradients; only a limit changes the gradients."""

import math

import pytest
import torch
from pytorch_lightning import Trainer

from transformer.training.lightning_module import LanguageModule

pytestmark = pytest.mark.parity


@pytest.fixture
def make_module(make_gpt, generator):
    """A module after a backward pass, with the optimizer of a Trainer that trains nothing."""

    def make(grad_clip):
        module = LanguageModule(make_gpt(), lr=1e-3, grad_clip=grad_clip, total_steps=7)
        module.trainer = Trainer(logger=False, barebones=True, accelerator="cpu")
        for parameter in module.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        return module

    return make


def gradients_of(module):
    return [parameter.grad for parameter in module.parameters()]


def clip(module, value=None):
    optimizer = torch.optim.SGD(module.parameters())
    module.configure_gradient_clipping(optimizer, value, None)
    return module._grad_norm


def test_without_a_limit_no_gradient_is_written(make_module):
    """Not even by a product with 1: a tensor's version counts what is written into it."""
    module = make_module(grad_clip=0.0)
    versions = [gradient._version for gradient in gradients_of(module)]
    norm = clip(module)
    assert [gradient._version for gradient in gradients_of(module)] == versions
    assert torch.equal(norm, torch.nn.utils.clip_grad_norm_(module.parameters(), math.inf))


@pytest.mark.parametrize(("own", "trainers"), [(0.7, None), (0.0, 0.7), (5.0, 0.7)])
def test_a_limit_scales_as_torchs_clip_grad_norm_does(make_module, own, trainers):
    """And the limit of Lightning's Trainer comes before the module's own."""
    module = make_module(own)
    copies = [torch.zeros_like(gradient).requires_grad_() for gradient in gradients_of(module)]
    for copy, gradient in zip(copies, gradients_of(module), strict=True):
        copy.grad = gradient.clone()
    expected = torch.nn.utils.clip_grad_norm_(copies, 0.7)
    assert torch.equal(clip(module, trainers), expected)
    for copy, gradient in zip(copies, gradients_of(module), strict=True):
        assert torch.equal(gradient, copy.grad)


@pytest.mark.parametrize("grad_clip", [0.0, 0.7])
def test_a_norm_that_is_not_finite_skips_the_step(make_module, grad_clip):
    module = make_module(grad_clip)
    gradients_of(module)[0].view(-1)[0] = math.nan
    assert clip(module).isnan()
    assert module.skipped_steps == 1
    assert gradients_of(module) == [None] * len(gradients_of(module))


def test_parameters_without_a_gradient_do_not_count(make_module):
    module = make_module(grad_clip=0.0)
    expected = clip(module)
    module.model.unused = torch.nn.Parameter(torch.ones(3))
    assert torch.equal(clip(module), expected)
