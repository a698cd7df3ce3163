"""Successive halving: many short runs, then longer ones of the best combinations. No torch.

Jamieson and Talwalkar 2016 (arXiv:1502.07943); a third goes on, as in Li et al. 2018, Hyperband
(arXiv:1603.06560). Other than there, a run does not go on from the shorter one before it. It is
trained from its first step, with a whole schedule, because the loss of a run whose learning rate
has not fallen yet says little about its loss at the end. This costs up to half as
much time again.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from transformer.sweep.plan import Plan
from transformer.sweep.searches.base import Search
from transformer.sweep.searches.drawing import drawn
from transformer.sweep.searches.shares import minutes_of
from transformer.sweep.trial import Result, Trial
from transformer.system.errors import UserError

ETA = 3  # one of so many combinations goes on, and its next run is so many times as long


class Halving(Search):
    name = "halving"
    about = "--runs combinations in short runs; the best third in runs three times as long; ..."

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self._combinations = drawn(plan, self.with_runs())
        numbers = [len(self._combinations)]
        while numbers[-1] >= ETA:
            numbers.append(numbers[-1] // ETA)
        if len(numbers) == 1:
            raise UserError(f"--search halving: give --runs {ETA} or more, got {numbers[0]}")
        self._numbers = numbers
        self._limits = _limits(plan, numbers)

    def trials(self, results: Sequence[Result]) -> Sequence[Trial]:
        losses = {result.trial.name: _loss(result) for result in results}
        combinations, found = self._combinations, []
        for rung, (number, limit) in enumerate(zip(self._numbers, self._limits, strict=True)):
            combinations = combinations[:number]
            trials = self.with_each_seed(combinations, limit, f"rung-{rung}_")
            found += trials
            if any(trial.name not in losses for trial in trials):
                break
            combinations = self._ranked(combinations, [losses[trial.name] for trial in trials])
        return found

    def _ranked(
        self, combinations: Sequence[Mapping[str, Any]], losses: Sequence[float]
    ) -> list[Any]:
        """By their mean loss over the seeds, best first, without those of which a run failed."""
        number = len(combinations)
        means = [math.fsum(losses[place::number]) / self.plan.seeds for place in range(number)]
        places = [place for place in range(number) if math.isfinite(means[place])]
        return [combinations[place] for place in sorted(places, key=lambda place: means[place])]


def _loss(result: Result) -> float:
    return math.inf if result.loss is None else result.loss


def _limits(plan: Plan, numbers: Sequence[int]) -> list[dict[str, Any]]:
    """Those of the rungs: all minutes of the sweep, or max_steps in the last rung."""
    weights = [ETA**rung for rung in range(len(numbers))]
    if plan.minutes is not None:
        groups = [(number * plan.seeds, ETA**rung) for rung, number in enumerate(numbers)]
        share = minutes_of(plan, groups)
        return [{"max_minutes": round(share * weight, 4)} for weight in weights]
    if (steps := plan.base["max_steps"]) is None:
        raise UserError("--search halving: give --minutes, or --max_steps for the longest runs")
    if steps < weights[-1]:
        raise UserError(
            f"--search halving: max_steps {steps} leaves no step for the shortest of "
            f"{len(numbers)} rungs: give at least {weights[-1]}, or fewer --runs"
        )
    return [{"max_steps": round(steps * weight / weights[-1])} for weight in weights]
