"""Approximately orthogonal matrices, beside singular value decompositions in float64."""

import pytest
import torch

from transformer.training.optimization import polar
from transformer.training.optimization.muon import orthogonalize
from transformer.training.optimization.polar import newton_schulz, polar_express, zolotarev

SHAPES = [(1, 13), (5, 11), (11, 22), (30, 90)]


@pytest.mark.parametrize(
    ("way", "bf16", "least", "greatest", "rounding"),
    [
        (newton_schulz, True, 0.7 - 2e-2, 1.2 + 2e-2, 3e-2),
        (newton_schulz, False, 0.7 - 2e-2, 1.2 + 2e-2, 1e-5),
        (polar_express, True, 0.265 - 2e-2, 1.415 + 3e-2, 1e-1),  # greater numbers
        (polar_express, False, 0.265 - 2e-3, 1.415 + 2e-3, 1e-5),
        (zolotarev, False, 0.871 - 1e-3, 1.129 + 1e-3, 1e-3),
    ],
)
def test_orthogonalizing_keeps_the_singular_vectors_and_levels_the_values(
    way, bf16, least, greatest, rounding, generator
):
    wide = torch.randn(11, 53, generator=generator)
    results = orthogonalize([wide, wide.T], way, bf16=bf16)
    for matrix, result in zip((wide, wide.T), results, strict=True):
        assert result.dtype == (torch.bfloat16 if bf16 else torch.float32)
        left, _, right = torch.linalg.svd(matrix, full_matrices=False)
        values = left.T @ result.float() @ right.T
        assert values.diagonal().min() > least
        assert values.diagonal().max() < greatest
        assert (values - values.diagonal().diag()).abs().max() < rounding


def low_rank(shape, rank, generator):
    rows, columns = shape
    left = torch.randn(rows, min(rank, rows), generator=generator)
    return left @ torch.randn(left.shape[1], columns, generator=generator)


@pytest.mark.parametrize("way", [newton_schulz, polar_express])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("rank", [1, 5, 30])
def test_steps_on_the_smaller_product_are_those_on_the_matrix(way, shape, rank, generator):
    """In float32, for matrices that have lost all but a few directions too."""
    matrix = low_rank(shape, rank, generator)
    (ours,) = orthogonalize([matrix], way)
    x = matrix.double()
    if way is newton_schulz:
        x, coefficients = x / x.norm(), polar.JORDAN
    else:
        x, coefficients = x / (x @ x.T).norm().sqrt(), polar.POLAR_EXPRESS
    for a, b, c in coefficients:
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    torch.testing.assert_close(ours.double(), x, rtol=0, atol=2e-4)


def test_each_step_of_polar_express_is_the_quintic_that_is_nearest_to_one():
    """It strays equally far four times, which no other odd quintic can do (Chebyshev).

    Each on what the one before has left of [0.003, 1], which is 3 % wider.
    """
    least, greatest = 0.003, 1.03
    steps = torch.tensor(polar.POLAR_EXPRESS, dtype=torch.float64)
    steps[-1] /= 0.84
    for a, b, c in steps:
        x = torch.logspace(0, 1, 50_000, base=greatest / least, dtype=torch.float64) * least
        y = a * x + b * x**3 + c * x**5 - 1
        turns = ((y[1:-1] - y[:-2]) * (y[1:-1] - y[2:]) > 0).nonzero().flatten() + 1
        strays = torch.cat((y[:1], y[turns], y[-1:]))
        most = strays.abs().max().item()
        signs = torch.tensor([-1, 1, -1, 1], dtype=torch.float64)
        torch.testing.assert_close(strays, most * signs, rtol=0, atol=1e-5)
        least, greatest = (1 - most) / 1.03, (1 + most) * 1.03


@pytest.mark.parametrize("shape", [*SHAPES, (7, 7), (53, 53)], ids=str)
@pytest.mark.parametrize("rank", [1, 5, 30, 53])
def test_inverses_in_float32_give_what_the_singular_values_say(shape, rank, generator):
    matrix = low_rank(shape, rank, generator)
    left, values, right = torch.linalg.svd(matrix.double(), full_matrices=False)
    x = values / values.pow(4).sum() ** 0.25
    level = x * (polar.CONSTANT_TERM + sum(a / (x**2 + c) for a, c in polar.FRACTIONS))
    (ours,) = orthogonalize([matrix], zolotarev)
    # Rounding in G is 1e-7 of its norm; the least C is 3.6e-5.
    torch.testing.assert_close(ours.double(), left * level @ right, rtol=0, atol=1e-2)
    assert torch.linalg.matrix_norm(ours, 2) < 1.13 + 1e-2


def test_zolotarevs_function_strays_equally_far_on_both_sides(generator):
    """Six times, which no other of its type can do: so none is nearer to 1 (Chebyshev)."""
    least = torch.logspace(-3, 0, 50_000, dtype=torch.float64)
    values = zolotarev(torch.diag_embed(torch.stack((torch.ones_like(least), least), dim=1)))
    x = least / (1 + least**4) ** 0.25  # of the norm's root; the greatest is 0.84
    y = values[:, 1, 1][x >= polar.LEAST_VALUE]
    inner = y[1:-1]
    turns = ((inner - y[:-2]) * (inner - y[2:]) > 0).nonzero().flatten()
    strays = torch.cat((y[:1], inner[turns]))
    signs = torch.tensor([-1, 1, -1, 1, -1], dtype=torch.float64)
    torch.testing.assert_close(strays - 1, 0.12912 * signs, rtol=0, atol=2e-4)
    one = torch.ones(1, 1, 1, dtype=torch.float64)  # the end of the interval
    assert zolotarev(one).item() - 1 == pytest.approx(0.12912, abs=2e-4)
