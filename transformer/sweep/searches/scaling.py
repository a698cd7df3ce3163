"""Trains the sizes of a scaling law, the smallest first. No torch."""

from collections.abc import Sequence

from transformer.sweep.scaling.sizes import sizes_of
from transformer.sweep.searches.base import Search
from transformer.sweep.trial import Result, Trial, name_of


class ScalingSearch(Search):
    """Each size has steps of its own, with a whole schedule."""

    name = "scaling"

    def trials(self, results: Sequence[Result]) -> Sequence[Trial]:
        return [
            Trial(size.keys, seed, {"max_steps": size.max_steps}, name_of({}, seed, size.name))
            for size in sizes_of(self.plan)
            for seed in self.plan.seed_numbers
        ]
