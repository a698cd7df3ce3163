"""Fits of a saturating power law."""

import numpy as np
import pytest

from transformer.sweep.scaling.fit import SEED_NOISE, USUAL_POWER, Law, fit, predict

COMPUTES = [3e10, 1.1e11, 5e11, 1.9e12, 7e12]
NEXT = 1.1e14
TRUE = Law(floor=1.1, scale=0.37, power=0.19, unit=7e12)


def losses(noise: float = 0.0, seed: int = 0) -> list[float]:
    drawn = np.random.default_rng(seed).standard_normal(len(COMPUTES))
    return [TRUE(c) * float(np.exp(noise * z)) for c, z in zip(COMPUTES, drawn, strict=True)]


def test_exact_losses_give_their_law_back_where_its_power_is_the_usual_one() -> None:
    usual = TRUE._replace(power=USUAL_POWER)
    assert fit(COMPUTES, [usual(each) for each in COMPUTES]) == pytest.approx(usual, rel=1e-6)


def test_another_power_is_pulled_by_less_than_a_hundredth_of_the_loss() -> None:
    assert predict(COMPUTES, losses(), NEXT).loss == pytest.approx(TRUE(NEXT), rel=0.01)


def test_the_unit_of_compute_changes_no_prediction() -> None:
    noisy = losses(SEED_NOISE, seed=3)
    in_petaflops = [compute / 1e15 for compute in COMPUTES]
    expected = predict(COMPUTES, noisy, NEXT)
    assert predict(in_petaflops, noisy, NEXT / 1e15) == pytest.approx(expected, rel=1e-9)


def test_the_law_falls_with_compute_and_stays_above_its_floor() -> None:
    for seed in range(3):
        law = fit(COMPUTES, losses(0.02, seed))
        along = [law(compute) for compute in (*COMPUTES, NEXT, 1e30)]
        assert along == sorted(along, reverse=True)
        assert along[-1] >= law.floor > 0


def test_the_interval_holds_most_runs_whose_noise_is_that_of_seeds() -> None:
    held, tries = 0, 12
    for seed in range(tries):
        _, low, high = predict(COMPUTES, losses(SEED_NOISE, seed), NEXT)
        noise = float(np.random.default_rng(1000 + seed).standard_normal())
        held += low <= TRUE(NEXT) * np.exp(SEED_NOISE * noise) <= high
    assert held >= 10  # of twelve: 95 %, less two standard deviations


def test_noisier_losses_give_a_wider_interval() -> None:
    quiet, noisy = (predict(COMPUTES, losses(noise, 1), NEXT) for noise in (0.001, 0.02))
    assert noisy.high - noisy.low > 2 * (quiet.high - quiet.low)
