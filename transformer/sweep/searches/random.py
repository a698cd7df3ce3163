"""Combinations drawn at random. No torch.

Better than a grid where only some of the keys matter: each run tries another value of each key.
Bergstra and Bengio 2012, "Random Search for Hyper-Parameter Optimization" (JMLR 13).
"""

from collections.abc import Sequence

from transformer.sweep.plan import Plan
from transformer.sweep.searches.base import Search
from transformer.sweep.searches.drawing import drawn
from transformer.sweep.searches.shares import equal_limit
from transformer.sweep.trial import Result, Trial


class Random(Search):
    name = "random"
    about = "--runs combinations, drawn at random"

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        combinations = drawn(plan, self.with_runs())
        limit = equal_limit(plan, len(combinations) * plan.seeds)
        self._trials = self.with_each_seed(combinations, limit)

    def trials(self, results: Sequence[Result]) -> Sequence[Trial]:
        return self._trials
