"""LayerNorm and RMSNorm beside their formulas, and the few passes beside torch's many."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from transformer.models.parts.norms import NORM_EPS, FewPasses, RMSNorm, make_norm

pytestmark = pytest.mark.parity
B, T, C = 2, 5, 21
same = partial(assert_close, rtol=0, atol=1e-10)  # the same mathematics in float64


def randomize(module, generator):
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(generator=generator)


@pytest.mark.usefixtures("float64")
def test_layernorm_and_rmsnorm_divide_by_their_root_mean_square(generator):
    x = torch.randn(B, T, C, generator=generator)
    layernorm, rmsnorm = make_norm("layernorm", C), make_norm("rmsnorm", C)
    randomize(layernorm, generator)
    randomize(rmsnorm, generator)
    centered = x - x.mean(dim=-1, keepdim=True)
    scale = (centered.square().mean(dim=-1, keepdim=True) + 1e-5).rsqrt()
    same(layernorm(x), centered * scale * layernorm.weight + layernorm.bias)
    same(rmsnorm(x), x * (x.square().mean(dim=-1, keepdim=True) + 1e-5).rsqrt() * rmsnorm.weight)


@pytest.mark.parametrize("shape", [(C,), (B, T, C), (B, 3, T, C), (0, C)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_the_few_passes_give_torchs_numbers_and_gradients(shape, dtype, generator):
    """Also for a vector of zeros, and for heads that lie as the joint product left them."""
    x = torch.randn(shape, generator=generator, dtype=dtype)
    x = x.transpose(1, 2) if x.ndim == 4 else x
    if x.ndim == 3:
        x[0, 0] = 0
    weight = torch.randn(C, generator=generator, dtype=dtype).requires_grad_()
    x.requires_grad_()
    gradient = torch.randn(x.shape, generator=generator, dtype=dtype)  # lies otherwise than x
    ours, torchs = FewPasses.apply(x, weight, NORM_EPS), F.rms_norm(x, (C,), weight, NORM_EPS)
    wanted = torch.autograd.grad(torchs, (x, weight), gradient)
    tolerance = {torch.float64: 1e-10, torch.float32: 1e-4}[dtype]
    for a, b in zip(
        (ours, *torch.autograd.grad(ours, (x, weight), gradient)), (torchs, *wanted), strict=True
    ):
        assert_close(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.usefixtures("float64")
def test_the_gradient_is_the_difference_of_the_function():
    x = torch.randn(3, 4, requires_grad=True)
    weight = torch.randn(4, requires_grad=True)
    assert torch.autograd.gradcheck(partial(FewPasses.apply), (x, weight, NORM_EPS))


def test_a_norm_gives_numbers_in_the_format_that_they_came_in(generator):
    norm = RMSNorm(C, eps=NORM_EPS)
    x = torch.randn(B, T, C, generator=generator)
    assert norm(x.bfloat16()).dtype == torch.bfloat16
    rms = x.square().mean(dim=-1, keepdim=True).sqrt()
    assert_close(norm(x.bfloat16()).float(), x / rms, rtol=2e-2, atol=2e-2)


def test_without_gradients_nothing_is_kept(generator):
    norm = RMSNorm(C, eps=NORM_EPS)
    x = torch.randn(B, T, C, generator=generator)
    with torch.no_grad():
        assert norm(x).grad_fn is None
    assert norm(x).requires_grad
