"""The config itself, and each change of it alone: an ablation. No torch."""

from collections.abc import Sequence

from transformer.sweep.plan import Plan
from transformer.sweep.searches.base import Search
from transformer.sweep.searches.shares import equal_limit
from transformer.sweep.trial import Result, Trial


class Each(Search):
    name = "each"

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.without_runs()
        combinations = [{}, *plan.changes]
        limit = equal_limit(plan, len(combinations) * plan.seeds)
        self._trials = self.with_each_seed(combinations, limit)

    def trials(self, results: Sequence[Result]) -> Sequence[Trial]:
        return self._trials
