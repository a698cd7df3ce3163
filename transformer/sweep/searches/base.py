"""What is asked of a search: which trials a sweep trains, one after another. No torch."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from transformer.sweep.plan import Plan
from transformer.sweep.trial import Result, Trial, name_of
from transformer.system.errors import UserError


class Search(ABC):
    """Chooses the trials of a plan. It keeps no state, so that a sweep can be killed at any time.

    `about` says in the help of `--search` what it does; a search without it is not for `--search`.
    """

    name: ClassVar[str]
    about: ClassVar[str] = ""

    def __init__(self, plan: Plan) -> None:
        """Raises: UserError for a plan that this search cannot carry out."""
        self.plan = plan

    @abstractmethod
    def trials(self, results: Sequence[Result]) -> Sequence[Trial]:
        """Every trial that these results allow to start, always in the same order.

        The trials of the results are included. The sweep has ended if each of the returned trials
        has a result. This is a pure function of the plan and the results, in whatever order they
        are given: with more results, the trials returned before are the first of those returned
        now. A failed trial ranks behind all others.
        """

    def with_each_seed(
        self,
        combinations: Sequence[Mapping[str, Any]],
        limit: Mapping[str, Any],
        prefix: str = "",
    ) -> list[Trial]:
        """All combinations with the first seed, then all with the next one.

        So what has ended early is a fair comparison, too.
        """
        return [
            Trial(settings, seed, limit, name_of(settings, seed, prefix))
            for seed in self.plan.seed_numbers
            for settings in combinations
        ]

    def without_runs(self) -> None:
        """Raises: UserError if the plan has a number of combinations, which this search counts."""
        if self.plan.runs is not None:
            raise UserError(
                f"--runs does not go with a {self.name} search, which trains every combination: "
                "leave it out, or give --search random"
            )

    def with_runs(self) -> int:
        """The number of combinations. Raises: UserError without it, or with nothing to vary."""
        if not self.plan.space:
            raise UserError(f"--search {self.name} chooses values: give --vary KEY=LOW..HIGH")
        if self.plan.runs is None:
            raise UserError(
                f"--search {self.name}: give --runs N, the number of combinations to try"
            )
        return self.plan.runs


def ranges(plan: Plan) -> list[str]:
    """The keys whose values are all numbers of a range."""
    return [key for key, values in plan.space.items() if not values.is_finite]
