"""A saturating power law of loss against compute, fitted to a few runs, and what it predicts.

    L = E + A C^-ALPHA

C is the compute of a run, E the loss that no compute goes below: Kaplan et al. 2020
(arXiv:2001.08361), with the floor of Hoffmann et al. 2022 (arXiv:2203.15556). No torch.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from transformer.sweep.intervals import quantile

Array = NDArray[np.float64]

# Residuals of log L above it count less than squared (Hoffmann et al. 2022, D.2, with 1e-3 for 400
# runs: among five, that would leave out two).
HUBER = 1e-2
STARTS_E, STARTS_ALPHA = (0.3, 0.7), (0.05, 0.15, 0.4)  # E as a share of the lowest loss
LEAST_POINTS = 4
# Five runs hardly tell a high floor from a low power. So log ALPHA is pulled towards the value of
# Hoffmann et al. 2022, a b / (a + b) with their a = 0.34 and b = 0.28, as if it had been measured
# with the standard deviation PULL.
USUAL_POWER, PULL = 0.154, 0.5
# The standard deviation of log L between seeds, and the number of residuals for which it counts.
SEED_NOISE, SEED_COUNT = 0.003, 4


_PULLED = np.array([0.0, 0.0, SEED_NOISE / PULL])  # the slopes of the pull


class Law(NamedTuple):
    floor: float  # E, in nats
    scale: float  # A C_0^-ALPHA, in nats, with C_0 = `unit`
    power: float  # ALPHA
    unit: float  # FLOPs, so that numbers stay near 1

    def __call__(self, compute: float) -> float:
        return self.floor + self.scale * (compute / self.unit) ** -self.power


class Prediction(NamedTuple):
    loss: float
    low: float
    high: float


def fit(computes: Sequence[float], losses: Sequence[float]) -> Law:
    """The law with the least Huber loss of the residuals of log L, from several starts."""
    unit = max(computes)
    x, y = np.asarray(computes) / unit, np.log(np.asarray(losses))
    starts = [
        (np.log(share * min(losses)), np.log((1 - share) * min(losses)), np.log(power))
        for share in STARTS_E
        for power in STARTS_ALPHA
    ]

    def residuals(constants: Array) -> Array:
        pull = (constants[2] - np.log(USUAL_POWER)) / PULL
        return np.append(_logs(constants, x) - y, SEED_NOISE * pull)

    def slopes(constants: Array) -> Array:
        return np.vstack([_slopes(constants, x), _PULLED])

    found = [
        least_squares(residuals, start, jac=slopes, loss="huber", f_scale=HUBER)  # pyright: ignore[reportArgumentType]
        for start in starts
    ]
    floor, scale, power = np.exp(min(found, key=lambda each: each.cost).x)
    return Law(float(floor), float(scale), float(power), unit)


def _logs(constants: Array, x: Array) -> Array:
    """log L at C = `x` units; the constants are log E, log of the scale, and log ALPHA."""
    floor, scale, power = np.exp(constants)
    return np.log(floor + scale * x**-power)


def _slopes(constants: Array, x: Array) -> Array:
    """The derivatives of `_logs` by the constants: a row for each x."""
    floor, scale, power = np.exp(constants)
    part = scale * x**-power
    rows = [np.full_like(x, floor), part, -part * power * np.log(x)]
    return np.stack(rows, axis=1) / (floor + part)[:, None]


def predict(computes: Sequence[float], losses: Sequence[float], compute: float) -> Prediction:
    """The law's loss at `compute`, and the interval in which 95 % of runs should end.

    The interval is that of the linearized fit (Seber and Wild 1989, "Nonlinear Regression", 5.1),
    with the noise of single runs: that of the residuals, and SEED_NOISE as if it had been found
    from SEED_COUNT residuals more, because five points with three constants leave two.
    """
    law = fit(computes, losses)
    x = np.asarray(computes) / law.unit
    constants = np.log((law.floor, law.scale, law.power))
    slopes = np.vstack([_slopes(constants, x), _PULLED])
    covariance = np.linalg.pinv(slopes.T @ slopes)
    (at,) = _slopes(constants, np.asarray([compute / law.unit]))
    residuals = np.log([law(each) for each in computes]) - np.log(losses)
    freedom = SEED_COUNT + len(losses) - len(constants)
    variance = (SEED_COUNT * SEED_NOISE**2 + float(residuals @ residuals)) / freedom
    spread = float(np.sqrt(variance * (1 + at @ covariance @ at)))
    reach = quantile(freedom) * spread
    loss = law(compute)
    return Prediction(loss, loss * float(np.exp(-reach)), loss * float(np.exp(reach)))
