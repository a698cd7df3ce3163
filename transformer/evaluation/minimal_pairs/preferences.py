"""Which sentences are preferred, and how often it is the acceptable one. Imports no torch."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer.evaluation.error_rates import wilson_interval

# Nats. Below it, which of two sums is larger depends on the order in which a processor adds up
# their parts: float32 has 7 digits, and the sum of a sentence has 2 or 3 before the point.
TIE = 1e-5
ALL = "all"


def points(scores: NDArray[np.float64], tie: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """For scores (N, 2), acceptable first: 1 if that one is higher, 0 if lower, 1/2 in a tie.

    In a tie, the scores differ by `tie` at most.
    """
    differences = scores[:, 0] - scores[:, 1]
    return np.where(np.abs(differences) <= tie, 0.5, differences > 0)


def preferences(
    sums: NDArray[np.float64], num_tokens: NDArray[np.int64], phenomena: Sequence[str]
) -> dict[str, Any]:
    """What is preferred by the sums (N, 2) of log-probabilities, and by their mean per token."""
    tokens = np.maximum(num_tokens, 1)  # nothing was scored: the mean of no token is 0
    found = {"sum": points(sums, TIE), "mean": points(sums / tokens, TIE / tokens.max(axis=1))}
    return {kind: _by_phenomenon(won, phenomena) for kind, won in found.items()} | {
        "ties": {kind: np.flatnonzero(won == 0.5).tolist() for kind, won in found.items()}
    }


def _by_phenomenon(won: NDArray[np.float64], phenomena: Sequence[str]) -> dict[str, Any]:
    names, places = np.unique(np.array(phenomena), return_inverse=True)
    order = np.argsort(places, kind="stable")
    groups = np.split(won[order], np.cumsum(np.bincount(places))[:-1])
    each = {name: _rate(group) for name, group in zip(names.tolist(), groups, strict=True)}
    return {ALL: _rate(won), "phenomena": each if len(names) > 1 or names[0] else {}}


def _rate(won: NDArray[np.float64]) -> Mapping[str, Any]:
    total = float(won.sum())
    return {
        "pairs": len(won),
        "accuracy": total / len(won),
        "interval": wilson_interval(total, len(won)),
        "ties": int((won == 0.5).sum()),
    }
