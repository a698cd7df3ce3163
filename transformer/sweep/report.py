"""The results of a sweep for a person, and as facts for programs. No torch."""

from collections.abc import Sequence
from typing import Any

from tabulate import tabulate

from transformer.sweep.plan import Plan
from transformer.sweep.trial import Result, in_words


def table(plan: Plan, results: Sequence[Result]) -> str:
    rows = [
        (in_words(result.trial.settings), result.trial.seed, _loss(result)) for result in results
    ]
    return tabulate(rows, ("settings", "seed", plan.metric), disable_numparse=True)


def _loss(result: Result) -> str:
    return "failed" if result.loss is None else f"{result.loss:.4f}"


def facts(plan: Plan, results: Sequence[Result]) -> dict[str, Any]:
    return {
        "metric": plan.metric,
        "runs": [
            {
                "settings": dict(result.trial.settings),
                "seed": result.trial.seed,
                "limit": dict(result.trial.limit),
                "run": None if result.run is None else str(result.run),
                "loss": result.loss,
                "error": result.error,
            }
            for result in results
        ],
    }
