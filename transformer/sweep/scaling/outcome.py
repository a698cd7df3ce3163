"""What the runs of a scaling law say: the fit, and the loss of the next size. No torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from transformer.sweep.plan import Plan
from transformer.sweep.scaling.fit import LEAST_POINTS, Law, Prediction, fit, predict
from transformer.sweep.scaling.sizes import Size, sizes_of
from transformer.sweep.trial import Result
from transformer.system.errors import UserError

# Up to four passes over a text count almost as new text: Muennighoff et al. 2023
# (arXiv:2305.16264), 6.
MOST_PASSES = 4.0


@dataclass(frozen=True)
class Reached:
    """What a size reached: the mean over its seeds."""

    size: Size
    loss: float
    minutes: float
    results: Sequence[Result]


@dataclass(frozen=True)
class Outcome:
    reached: Sequence[Reached]
    law: Law
    next: Size
    seconds: float  # that the next size would take here
    prediction: Prediction
    passes: float  # of the next size over the text

    @property
    def warning(self) -> str:
        """Empty if there is enough text for the next size."""
        if self.passes <= MOST_PASSES:
            return ""
        return (
            f"the text is too small for this prediction: {self.next.name} would read it "
            f"{self.passes:.3g} times, and after about {MOST_PASSES:g} passes a model learns less "
            "than the law says"
        )


def next_size(plan: Plan) -> tuple[Size, float]:
    """The predicted size, and the seconds that its run would take."""
    facts: dict[str, Any] = dict(plan.measured["predicted"])
    seconds = facts.pop("seconds")
    return Size(**facts), seconds


def outcome_of(plan: Plan, results: Sequence[Result]) -> Outcome:
    """Raises: UserError if too few sizes have worked."""
    reached = [found for size in sizes_of(plan) if (found := _reached(size, results))]
    if len(reached) < LEAST_POINTS:
        raise UserError(
            f"{len(reached)} of {len(plan.measured['sizes'])} sizes have worked, and a scaling law "
            f"needs {LEAST_POINTS}: give --retry"
        )
    size, seconds = next_size(plan)
    computes, losses = [each.size.compute for each in reached], [each.loss for each in reached]
    law, prediction = fit(computes, losses), predict(computes, losses, size.compute)
    passes = size.tokens / plan.measured["unique_tokens"]
    return Outcome(reached, law, size, seconds, prediction, passes)


def _reached(size: Size, results: Sequence[Result]) -> Reached | None:
    """None if no seed has worked."""
    own = [r for r in results if r.trial.settings == size.keys and r.loss is not None]
    if not own:
        return None
    minutes = [result.summary.get("elapsed_seconds", 0.0) / 60 for result in own]
    return Reached(size, fmean(r.loss for r in own if r.loss is not None), fmean(minutes), own)
