"""Plans a run: reads its data, times this machine, and says what was chosen and why."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from tabulate import tabulate

from transformer.config.drafts import Draft
from transformer.config.keys import Config
from transformer.run.planning.pairs import PairPlanner
from transformer.run.planning.planner import MOST_PLANNING, Plan, Planner
from transformer.run.planning.race import Entry, entries_of, entry_of
from transformer.run.planning.texts import TextPlanner
from transformer.run.settling import settle
from transformer.system.devices import resolve_accelerator
from transformer.system.errors import UserError
from transformer.system.processes import runs_alone
from transformer.system.terminal import quiet_libraries, quietly

# By a family's `data`.
PLANNERS: dict[str, type[Planner]] = {"text": TextPlanner, "pairs": PairPlanner}
OUTLOOK_MINUTES = (1.0, 3.0, 10.0, 30.0, 120.0)
TUNED = "as the recipe was tuned"


class Planned(NamedTuple):
    entries: Sequence[Entry]  # the best plan first; with others, there is a race
    text: str  # says what was chosen and why
    spent_seconds: float = 0.0  # of the minutes


def plan_of(draft: Draft, started_at: float, *, raced: bool = True) -> Planned:
    """The configs to start with; the time since `started_at`, of time.monotonic, counts as used.

    Without `raced`, there is one config, for all the minutes.

    Raises: UserError for data, a time or given keys that no plan is for.
    """
    planner = make_planner(draft)
    minutes, steps = planner.base.max_minutes, planner.base.max_steps
    if minutes is None:
        assert steps is not None  # or there would be no draft
        plan = planner.for_steps(steps)
        return Planned([entry_of(planner, plan)], explained(planner, plan, ""))
    spent = spent_of(minutes, time.monotonic() - started_at)
    planner = replace(planner, spent_seconds=spent)
    entries = entries_of(planner, minutes, raced=raced)
    more = ""
    if (doubled := planner.for_minutes(2 * minutes).expected) is not None:
        more = f"; twice the time would bring {doubled:.2f}"
    return Planned(entries, explained(planner, entries[0].plan, more), spent)


def spent_of(minutes: float, seconds: float) -> float:
    """How many of these seconds, before the run starts, count as used of its minutes."""
    return min(seconds, MOST_PLANNING * 60 * minutes)


def outlook(draft: Draft, started_at: float) -> str:
    """A table of what 1 to 120 minutes would bring; only a pilot is trained.

    A run is expected to start and to plan in the time that passed here since `started_at`, of
    time.monotonic.
    """
    planner = make_planner(draft, timed=True)
    seconds = time.monotonic() - started_at
    rows, too_few = [], []
    for minutes in OUTLOOK_MINUTES:
        spent = spent_of(minutes, seconds)
        try:
            plan = replace(planner, spent_seconds=spent).for_minutes(minutes)
        except UserError:
            too_few.append(f"{minutes:g}")
            continue
        rows.append(
            {"minutes": f"{minutes:g}", **plan.size.keys}
            | {key: f"{value:g}" for key, value in plan.recipe.items()}
            | {"steps": f"{plan.steps:,}", "passes": f"{plan.passes:.3g}"}
            | ({"expected": text} if (text := planner.outlook(plan)) else {})
        )
    if not rows:
        planner.for_minutes(OUTLOOK_MINUTES[-1])  # raises what stands in the way
    table = tabulate(rows, "keys", disable_numparse=True, colalign=["right"] * len(rows[0]))
    return table + (f"\ntoo few minutes to plan for: {', '.join(too_few)}" if too_few else "")


def make_planner(draft: Draft, *, timed: bool = False) -> Planner:
    """`timed` for any number of minutes, even if a number of steps ends the run."""
    quiet_libraries()
    planner_class = _planner_class(draft, draft.base())
    planner, data = planner_class.read(draft)
    if not timed and planner.base.max_minutes is None:
        return planner
    # What is fast for the usual size is taken for all that are timed.
    changes: dict[str, Any] = {"max_minutes": None} if timed else {}
    with quietly():  # the run will say what it settles
        return planner.measured(settle(planner.usual().model_copy(update=changes)), data)


def _planner_class(draft: Draft, base: Config) -> type[Planner]:
    """Raises: UserError for a model or for devices that no plan is for."""
    key = draft.auto[0]
    if "num_blocks" not in base.family.field_names():
        raise UserError(f"{key}: auto is for transformers, and model is {base.model}: give a value")
    if not runs_alone(base.devices, base.num_nodes, resolve_accelerator(base.accelerator)):
        raise UserError(
            f"{key}: auto plans for one device: write the plan to a file on one device with "
            "`print_config`, and start from that file"
        )
    return PLANNERS[base.family.data]


def explained(planner: Planner, plan: Plan, more: str) -> str:
    config = planner.config_of(plan)
    reasons = {
        "num_heads": f"heads are {config.architecture(1)['head_dim']} numbers wide",
        "max_steps": "as many as the minutes allow",
    } | planner.reasons(plan)
    values = {key: getattr(config, key) for key in planner.draft.auto}
    rows = [
        (key, "none" if value is None else str(value), reasons.get(key, TUNED))
        for key, value in values.items()
    ]
    if (compiles := planner.compiles(plan)) is not None:
        why = f"the run is {'sooner' if compiles else 'not sooner'} at its end so"
        rows.append(("compile", str(compiles).lower(), why))
    table = tabulate(rows, ("planned", "", "because"), disable_numparse=True)
    expected = planner.outlook(plan)
    if planner.base.max_minutes is None or not expected:  # no pilot was trained
        return table
    return f"{table}\nexpected: {expected} after about {plan.steps:,} steps{more}"
