"""Every combination of the given values. No torch."""

from collections.abc import Sequence
from itertools import product

from transformer.sweep.plan import Plan
from transformer.sweep.searches.base import Search, ranges
from transformer.sweep.searches.shares import equal_limit
from transformer.sweep.trial import Result, Trial
from transformer.system.errors import UserError


class Grid(Search):
    name = "grid"
    about = "every combination"

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.without_runs()
        if found := ranges(plan):
            raise UserError(
                f"--vary {found[0]}: a range has too many values for a grid: give some of them, "
                f"such as {found[0]}=A,B,C, or --search random --runs N"
            )
        values = [each.plain() for each in plan.space.values()]
        combinations = [dict(zip(plan.space, chosen, strict=True)) for chosen in product(*values)]
        limit = equal_limit(plan, len(combinations) * plan.seeds)
        self._trials = self.with_each_seed(combinations, limit)

    def trials(self, results: Sequence[Result]) -> Sequence[Trial]:
        return self._trials
