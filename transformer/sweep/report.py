"""The table of a sweep, for a person, and its figures, for programs. No torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tabulate import tabulate

from transformer.sweep.comparison import (
    Combination,
    combinations_of,
    difference,
    ranked,
    reference_of,
)
from transformer.sweep.intervals import Interval
from transformer.sweep.plan import Plan
from transformer.sweep.trial import Result

REFERENCE = "reference"


@dataclass(frozen=True)
class Compared:
    """A combination beside the reference that ran within the same limit."""

    one: Combination
    reference: Combination
    difference: Interval | None  # None for the reference itself, and without a common seed

    @property
    def is_reference(self) -> bool:
        return self.one is self.reference


def compared(plan: Plan, results: Sequence[Result]) -> list[Compared]:
    """All combinations, the largest limit first, and then the lowest loss."""
    found = combinations_of(results)
    rows = []
    for one in ranked(found):
        rivals = [other for other in found if other.limit == one.limit]
        reference = reference_of(plan, rivals)
        rows.append(
            Compared(one, reference, None if one is reference else difference(one, reference))
        )
    return rows


def num_comparisons(rows: Sequence[Compared]) -> int:
    """Differences that have an interval."""
    return sum(row.difference is not None and row.difference.low is not None for row in rows)


def table(plan: Plan, results: Sequence[Result]) -> str:
    """A row for each combination, and a line on what its numbers mean."""
    rows, metric = compared(plan, results), plan.metric
    if not rows:
        return "no run has ended yet"
    limits = {str(row.one.limit) for row in rows}
    limit = [next(iter(rows[0].one.limit), "limit")] if len(limits) > 1 else []
    against = ["difference", "95 %"] if len(rows) > len(limits) else []
    lines = []
    for row in rows:
        cells = [f"{value:g}" for value in row.one.limit.values()] if limit else []
        cells += [row.one.label, *_own_cells(row.one)]
        lines.append([*cells, *(_against_cells(row) if against else [])])
    header = [*limit, "combination", metric, "sd", "seeds", *against]
    align = [*["right"] * len(limit), "left", *["right"] * (3 + len(against))]
    text = tabulate(lines, header, disable_numparse=True, colalign=align)
    return "\n".join([text, *_explained(rows, plan)])


def _own_cells(one: Combination) -> list[str]:
    seeds = f"{len(one.losses)} of {one.num_trials}" if one.failed else str(len(one.losses))
    spread = "" if one.spread is None else f"{one.spread:.4f}"
    return [f"{one.mean:z.4f}" if one.losses else "failed", spread, seeds]


def _against_cells(row: Compared) -> list[str]:
    if row.is_reference:
        return [REFERENCE, ""]
    if row.difference is None:
        return ["", ""]
    center, low, high, _ = row.difference
    return [f"{center:+z.4f}", "" if low is None else f"{low:+z.4f} to {high:+z.4f}"]


def _explained(rows: Sequence[Compared], plan: Plan) -> list[str]:
    lines = []
    if count := num_comparisons(rows):
        several = f"{count} comparisons were made" if count > 1 else "1 comparison was made"
        lines.append(
            "difference: loss minus that of the reference, seed by seed, so below 0 is better; "
            "95 %: of 100 such intervals (paired t test), about 95 hold the true difference; "
            f"{several}: if no change had an effect, about {0.05 * count:.2g} of them would have "
            "an interval without 0 by chance"
        )
    elif any(row.difference for row in rows):
        lines.append(
            "one seed each: nobody can tell a difference from chance; give --seeds 3 or more"
        )
    failed = [(row.one, seed, why) for row in rows for seed, why in row.one.failed.items()]
    if failed:
        one, seed, why = failed[0]
        lines.append(f"failed runs: {len(failed)}; the first, {one.label}, seed {seed}: {why}")
    if keys := plan.keys_of_scored_texts:
        lines.append(
            f"with other values of {', '.join(keys)}, the runs are scored on different texts: a "
            "lower loss may only mean an easier text"
        )
    if not plan.keys:
        lines.append("nothing is varied: the runs differ in their seeds alone")
    return lines


def facts(plan: Plan, results: Sequence[Result]) -> dict[str, Any]:
    """What the table says, and each run with its loss, time and folder."""
    rows = compared(plan, results)
    return {
        "metric": plan.metric,
        "search": plan.search,
        "varied": list(plan.keys),
        "keys_of_scored_texts": list(plan.keys_of_scored_texts),
        "failed": sum(len(row.one.failed) for row in rows),
        "comparisons": num_comparisons(rows),
        "combinations": [_facts_of(row) for row in rows],
        "runs": [_run_facts(result) for result in results],
    }


def _facts_of(row: Compared) -> dict[str, Any]:
    one = row.one
    return {
        "settings": dict(one.settings),
        "limit": dict(one.limit),
        "mean": one.mean if one.losses else None,
        "sd": one.spread,
        "losses": {str(seed): loss for seed, loss in one.losses.items()},
        "failed": {str(seed): why for seed, why in one.failed.items()},
        "reference": row.is_reference,
        "difference": _interval_facts(row.difference),
    }


def _interval_facts(found: Interval | None) -> dict[str, Any] | None:
    if found is None:
        return None
    center, low, high, count = found
    return {"mean": center, "low": low, "high": high, "pairs": count}


def _run_facts(result: Result) -> dict[str, Any]:
    trial, summary = result.trial, result.summary
    return {
        "settings": dict(trial.settings),
        "seed": trial.seed,
        "limit": dict(trial.limit),
        "run": None if result.run is None else str(result.run),
        "loss": result.loss,
        "error": result.error,
        "step": summary.get("step"),
        "seconds": summary.get("elapsed_seconds"),
    }
