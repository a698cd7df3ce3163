"""LayerNorm and RMSNorm beside their formulas."""

from functools import partial

import pytest
import torch
from torch.testing import assert_close

from transformer.models.parts.norms import NORM_EPS, RMSNorm, make_norm

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


def test_a_norm_gives_numbers_in_the_format_that_they_came_in(generator):
    norm = RMSNorm(C, eps=NORM_EPS)
    x = torch.randn(B, T, C, generator=generator)
    assert norm(x.bfloat16()).dtype == torch.bfloat16
    rms = x.square().mean(dim=-1, keepdim=True).sqrt()
    assert_close(norm(x.bfloat16()).float(), x / rms, rtol=2e-2, atol=2e-2)
