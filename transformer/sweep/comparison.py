"""Combinations of a sweep and their paired differences. No torch."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean, stdev
from typing import Any

from transformer.sweep.intervals import Interval, interval
from transformer.sweep.plan import Plan
from transformer.sweep.trial import Result, in_words


@dataclass(frozen=True)
class Combination:
    """The results of the same settings within the same limit, one for each seed.

    `losses` has the seeds that ended with a number; `failed` has the reasons of the others.
    """

    settings: Mapping[str, Any]
    limit: Mapping[str, Any]
    losses: Mapping[int, float] = field(default_factory=dict)
    failed: Mapping[int, str] = field(default_factory=dict)
    results: Sequence[Result] = ()

    @property
    def label(self) -> str:
        return in_words(self.settings)

    @property
    def num_trials(self) -> int:
        return len(self.losses) + len(self.failed)

    @property
    def mean(self) -> float:
        """Infinite if every seed failed."""
        return mean(self.losses.values()) if self.losses else math.inf

    @property
    def spread(self) -> float | None:
        """The standard deviation over the seeds; None for fewer than two."""
        return stdev(self.losses.values()) if len(self.losses) > 1 else None


def combinations_of(results: Sequence[Result]) -> list[Combination]:
    """In the order of their first results. A loss that is not finite counts as a failure."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        trial = result.trial
        same = json.dumps([trial.settings, trial.limit], sort_keys=True, default=str)
        groups.setdefault(same, []).append(result)
    return [_combination(group) for group in groups.values()]


def _combination(group: Sequence[Result]) -> Combination:
    losses, failed = {}, {}
    for result in group:
        if result.loss is not None and math.isfinite(result.loss):
            losses[result.trial.seed] = result.loss
        else:
            failed[result.trial.seed] = result.error or f"its loss is {result.loss}"
    first = group[0].trial
    return Combination(first.settings, first.limit, losses, failed, group)


def ranked(found: Sequence[Combination]) -> list[Combination]:
    """Those with the largest limit first, and of these the lowest mean first."""
    return sorted(found, key=lambda one: ([-value for value in one.limit.values()], one.mean))


def reference_of(plan: Plan, found: Sequence[Combination]) -> Combination:
    """The combination that has the config's own values, or else the first one."""
    for one in found:
        if all(plan.base.get(key) == value for key, value in one.settings.items()):
            return one
    return found[0]


def difference(one: Combination, reference: Combination) -> Interval | None:
    """Its losses minus those of the reference, seed by seed; None without a common seed.

    A seed that one of the two lacks is left out.
    """
    seeds = [seed for seed in one.losses if seed in reference.losses]
    values = [one.losses[seed] - reference.losses[seed] for seed in seeds]
    return interval(values) if values else None
