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

# Standard deviations of log L above which a residual counts less than squared: a Huber loss, as in
# Hoffmann et al. 2022, D.2.
HUBER = 3.0
STARTS_E, STARTS_ALPHA = (0.3, 0.7), (0.05, 0.15, 0.4)  # E as a share of the lowest loss
LEAST_POINTS = 4
# Five runs hardly tell a high floor from a low power, and the smallest ones follow the law least.
# So log ALPHA is pulled towards a b / (a + b) of the powers of weights and tokens: 0.154 in
# Hoffmann et al. 2022, and 0.178 in Besiroglu et al. 2024 (arXiv:2404.10102), who fitted the same
# runs again. USUAL_POWER is their geometric mean, and PULL, a standard deviation, their distance.
USUAL_POWER, PULL = 0.166, 0.1
# The standard deviation of log L between seeds: that of the largest run, and the power of compute
# by which it falls. In `benchmarks/results/amd-epyc-avx2/scaling_law.json`, it is 0.017, 0.010,
# 0.004, 0.003 and 0.002, while compute grows fifty times. It counts as so many residuals.
SEED_NOISE, NOISE_POWER, SEED_COUNT = 0.003, -0.5, 4


class Law(NamedTuple):
    floor: float  # E, in nats
    scale: float  # A C_0^-ALPHA, in nats, with C_0 = `unit`
    power: float  # ALPHA
    unit: float  # FLOPs of the largest run, so that numbers stay near 1

    def __call__(self, compute: float) -> float:
        return self.floor + self.scale * (compute / self.unit) ** -self.power


class Prediction(NamedTuple):
    loss: float
    low: float
    high: float


class _Fit:
    """Residuals and their slopes at log E, log of the scale and log ALPHA, in standard deviations.

    The last residual is the pull.
    """

    def __init__(self, computes: Sequence[float], losses: Sequence[float]) -> None:
        self.unit = max(computes)
        self.x = np.asarray(computes) / self.unit
        self.y = np.log(np.asarray(losses))
        self.noise = SEED_NOISE * self.x**NOISE_POWER

    def residuals(self, constants: Array) -> Array:
        pull = (constants[2] - np.log(USUAL_POWER)) / PULL
        return np.append((_logs(constants, self.x) - self.y) / self.noise, pull)

    def slopes(self, constants: Array) -> Array:
        own = _slopes(constants, self.x) / self.noise[:, None]
        return np.vstack([own, [0.0, 0.0, 1 / PULL]])

    def starts(self) -> list[Array]:
        least = float(np.exp(self.y.min()))
        return [
            np.log(np.array([share * least, (1 - share) * least, power]))
            for share in STARTS_E
            for power in STARTS_ALPHA
        ]

    def best(self) -> Array:
        """The constants of the least Huber loss, from several starts."""
        found = [
            least_squares(
                self.residuals,
                start,
                jac=self.slopes,  # pyright: ignore[reportArgumentType]
                loss="huber",
                f_scale=HUBER,
            )
            for start in self.starts()
        ]
        return min(found, key=lambda each: each.cost).x


def fit(computes: Sequence[float], losses: Sequence[float]) -> Law:
    """The law of these runs."""
    fitted = _Fit(computes, losses)
    return _law(fitted.best(), fitted.unit)


def predict(computes: Sequence[float], losses: Sequence[float], compute: float) -> Prediction:
    """The law's loss at `compute`, and the interval in which 95 % of runs should end.

    The interval is that of the linearized fit (Seber and Wild 1989, "Nonlinear Regression", 5.1),
    with the noise of single runs: that of the residuals, and that between seeds as if it had been
    found from SEED_COUNT residuals more, because five points with three constants leave two.
    """
    fitted = _Fit(computes, losses)
    constants = fitted.best()
    slopes, residuals = fitted.slopes(constants), fitted.residuals(constants)
    covariance = np.linalg.pinv(slopes.T @ slopes)
    (at,) = _slopes(constants, np.asarray([compute / fitted.unit]))
    freedom = SEED_COUNT + len(residuals) - len(constants)
    factor = (SEED_COUNT + float(residuals @ residuals)) / freedom
    spread = float(np.sqrt(factor * (SEED_NOISE**2 + at @ covariance @ at)))
    reach = quantile(freedom) * spread
    loss = _law(constants, fitted.unit)(compute)
    return Prediction(loss, loss * float(np.exp(-reach)), loss * float(np.exp(reach)))


def _law(constants: Array, unit: float) -> Law:
    floor, scale, power = np.exp(constants)
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
