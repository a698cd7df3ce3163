"""Plans a run: reads its text, times this machine, and says what was chosen and why."""

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from tabulate import tabulate

from transformer.config.drafts import Draft
from transformer.config.keys import Config
from transformer.run import assembly
from transformer.run.planning.law import ERROR
from transformer.run.planning.pilot import pilot_loss
from transformer.run.planning.planner import LARGER, PLAIN, Plan, Planner, TextFacts
from transformer.run.planning.race import Entry, entries_of, entry_of
from transformer.run.planning.steps import StepSeconds, measured_here
from transformer.run.settling import settle
from transformer.run.timing import free_memory
from transformer.system.devices import resolve_accelerator
from transformer.system.errors import UserError
from transformer.system.processes import runs_alone
from transformer.system.terminal import quiet_libraries, quietly
from transformer.tasks.base import Data
from transformer.tasks.registry import task_of

OUTLOOK_MINUTES = (1.0, 3.0, 10.0, 30.0, 120.0)
LEAST_TOKENS = 2_000
ADAMW_LR = 0.001
USUAL = {"embedding_dim": 128, "num_heads": 4}


class Planned(NamedTuple):
    entries: Sequence[Entry]  # the best plan first; with others, there is a race
    text: str  # says what was chosen and why


def plan_of(draft: Draft, started_at: float) -> Planned:
    """The configs to start with; the time since `started_at`, of time.monotonic, counts as used.

    Raises: UserError for a text, a time or given keys that no plan is for.
    """
    planner = make_planner(draft)
    planner = replace(planner, spent_seconds=time.monotonic() - started_at)
    minutes, steps = planner.base.max_minutes, planner.base.max_steps
    if minutes is None:
        assert steps is not None  # or there would be no draft
        plan = planner.for_steps(steps)
        return Planned([entry_of(planner, plan)], explained(planner, plan, ""))
    entries = entries_of(planner, minutes)
    doubled = planner.for_minutes(2 * minutes)
    more = f"; twice the time would bring {doubled.val_loss:.2f}"
    return Planned(entries, explained(planner, entries[0].plan, more))


def outlook(draft: Draft) -> str:
    """A table of what 1 to 120 minutes would bring; only the pilot is trained."""
    planner = make_planner(draft, timed=True)
    rows = []
    for minutes in OUTLOOK_MINUTES:
        try:
            plan = planner.for_minutes(minutes)
        except UserError:
            continue
        size = plan.size
        rows.append(
            (
                *(f"{minutes:g}", size.width, size.num_heads, size.num_blocks, f"{plan.dropout:g}"),
                *(f"{plan.steps:,}", f"{plan.passes:.3g}", expected(plan)),
            )
        )
    if not rows:
        planner.for_minutes(OUTLOOK_MINUTES[-1])  # raises what stands in the way
    headers = ("minutes", "embedding_dim", "num_heads", "num_blocks", "dropout", "steps", "passes")
    return tabulate(rows, (*headers, "val_loss"), disable_numparse=True, colalign=["right"] * 8)


def make_planner(draft: Draft, *, timed: bool = False) -> Planner:
    """`timed` even if a number of steps ends the run."""
    quiet_libraries()
    base = draft.base(**PLAIN)
    _check_scope(draft, base)
    accelerator = resolve_accelerator(base.accelerator)
    plain = dict(PLAIN) if accelerator == "cpu" else {**PLAIN, **LARGER}
    if base.optimizer == "adamw":
        plain["lr"] = ADAMW_LR
    data: Any = task_of(base.model).read(base.model_copy(update={"block_size": 1}))
    train, val = data.train, data.val
    if len(data.tokens) < LEAST_TOKENS:
        raise UserError(
            f"{base.data_path}: {len(data.tokens):,} {data.tokenizer.units} are too few to plan "
            f"for: give a text of {LEAST_TOKENS:,} or more, or all sizes yourself, with a "
            "`block_size` of 16"
        )
    plain["block_size"] = min(plain["block_size"], 2 ** int(math.log2(len(val) / 2)))
    facts = TextFacts(len(train), len(val), data.tokenizer.vocab_size)
    free_bytes = free_memory(accelerator)
    if not timed and base.max_minutes is None:
        return Planner(draft, facts, plain, None, free_bytes)
    # Of a usual width: what is fast for it is taken for all that are timed.
    usual = {key: value for key, value in USUAL.items() if key in draft.auto}
    with quietly():  # the run will say what it settles
        settled = settle(draft.base(**plain).model_copy(update=usual))
        facts = facts._replace(pilot_loss=pilot_loss(settled, data))
        return Planner(draft, facts, plain, timed_steps(settled, data), free_bytes)


def _check_scope(draft: Draft, base: Config) -> None:
    key = draft.auto[0]
    if base.family.data != "text" or "num_blocks" not in base.family.field_names():
        raise UserError(f"{key}: auto is for model gpt, and model is {base.model}: give a value")
    if not runs_alone(base.devices, base.num_nodes, resolve_accelerator(base.accelerator)):
        raise UserError(
            f"{key}: auto plans for one device: write the plan to a file on one device with "
            "`print_config`, and start from that file"
        )


def timed_steps(settled: Config, data: Data) -> StepSeconds:
    def sized(width: int, num_blocks: int) -> Config:
        changes = {"embedding_dim": width, "num_heads": width // 32, "num_blocks": num_blocks}
        return settled.model_copy(update=changes)

    return measured_here(sized, assembly.build_task(settled, data))


def explained(planner: Planner, plan: Plan, more: str) -> str:
    config, facts = planner.config_of(plan), planner.facts
    size, tuned = "the best use of these steps", "as the recipe was tuned"
    if planner.step_seconds is not None:
        seconds = planner.step_seconds(plan.size.width, plan.size.num_blocks)
        size = f"lowest predicted loss of all sizes at {seconds:.2g} s a step here"
    reasons = {
        "embedding_dim": size,
        "num_blocks": size,
        "num_heads": f"heads are {config.embedding_dim // config.num_heads} numbers wide",
        "dropout": f"{plan.passes:.3g} passes over {facts.unique:,} tokens",
        "block_size": "room in a short text" if planner.is_short else tuned,
        "lr": tuned if config.optimizer == "muon" else "usual for adamw",
        "max_steps": "more would learn the text by heart"
        if plan.ends_early
        else "as many as the minutes allow",
    }
    values = {key: getattr(config, key) for key in planner.draft.auto}
    rows = [
        (key, "none" if value is None else str(value), reasons.get(key, tuned))
        for key, value in values.items()
    ]
    table = tabulate(rows, ("planned", "", "because"), disable_numparse=True)
    if planner.base.max_minutes is None:  # no pilot was trained
        return table
    return f"{table}\nexpected: val_loss {expected(plan)} after about {plan.steps:,} steps{more}"


def expected(plan: Plan) -> str:
    return f"{plan.val_loss:.2f} +- {2 * ERROR:.2f}"
