"""The table of a scaling law, in words and as JSON. No torch."""

from collections.abc import Iterator, Sequence
from typing import Any

from tabulate import tabulate

from transformer.sweep.plan import Plan
from transformer.sweep.scaling.outcome import Outcome, outcome_of
from transformer.sweep.scaling.sizes import TOKENS_PER_WEIGHT, Size
from transformer.sweep.trial import Result
from transformer.system.shell import flag

HEADERS = (
    *("width x blocks", "weights", "tokens", "passes", "FLOPs", "steps", "minutes"),
    *("val_loss", "law"),
)


def table(plan: Plan, results: Sequence[Result]) -> str:
    """The sizes and what they reached, the law, and the predicted run with its command.

    Raises: UserError if too few sizes have worked.
    """
    outcome = outcome_of(plan, results)
    rows = tabulate(
        list(_rows(plan, outcome)),
        HEADERS,
        disable_numparse=True,
        colalign=("left", *["right"] * (len(HEADERS) - 1)),
    )
    size, prediction = outcome.next, outcome.prediction
    law = outcome.law
    said = [
        rows,
        "",
        f"val_loss = {law.floor:.3f} + {law.scale:.3f} (C / {law.unit:.3g})^-{law.power:.3f}, with "
        f"C the FLOPs of a run; a run has {TOKENS_PER_WEIGHT:g} tokens for each weight of its "
        "blocks",
        f"predicted: {prediction.loss:.3f} ({prediction.low:.3f} to {prediction.high:.3f}) for "
        f"{size.name}, {size.weights / outcome.reached[-1].size.weights:.2g} times the largest "
        f"size, in {outcome.seconds / 60:.3g} minutes here; its run has the flags",
        "  " + "".join(flag(key, str(value)) for key, value in run_keys(size).items()).strip(),
    ]
    if outcome.warning:
        said.append(f"warning: {outcome.warning}")
    return "\n".join(said)


def run_keys(size: Size) -> dict[str, Any]:
    """The keys that make a size's run of the sweep's config."""
    return {**size.keys, "max_steps": size.max_steps}


def _rows(plan: Plan, outcome: Outcome) -> Iterator[tuple[str, ...]]:
    unique = plan.measured["unique_tokens"]
    for each in outcome.reached:
        law = outcome.law(each.size.compute)
        yield (*_facts(each.size, unique, each.minutes), f"{each.loss:.4f}", f"{law:.4f}")
    facts = _facts(outcome.next, unique, outcome.seconds / 60)
    yield (*facts, "", f"{outcome.prediction.loss:.4f}")


def _facts(size: Size, unique: int, minutes: float) -> tuple[str, ...]:
    return (
        size.name,
        f"{size.weights:,}",
        f"{size.tokens:,}",
        f"{size.tokens / unique:.2f}",
        f"{size.compute:.2e}",
        f"{size.max_steps:,}",
        f"{minutes:.2g}",
    )


def facts(plan: Plan, results: Sequence[Result]) -> dict[str, Any]:
    """The same for `--json`. Raises: UserError if too few sizes have worked."""
    outcome = outcome_of(plan, results)
    reached = [
        _size_facts(each.size, plan) | {"minutes": each.minutes, "val_loss": each.loss}
        for each in outcome.reached
    ]
    low, high = outcome.prediction.low, outcome.prediction.high
    return {
        "sizes": reached,
        "law": {"form": "floor + scale * (flops / unit) ** -power", **outcome.law._asdict()},
        "predicted": _size_facts(outcome.next, plan)
        | {"minutes": outcome.seconds / 60, "val_loss": outcome.prediction.loss}
        | {"interval": [low, high], "keys": run_keys(outcome.next)},
        "warning": outcome.warning or None,
    }


def _size_facts(size: Size, plan: Plan) -> dict[str, Any]:
    passes = size.tokens / plan.measured["unique_tokens"]
    facts = {"size": size.name, "weights": size.weights, "tokens": size.tokens, "passes": passes}
    return facts | {"flops": size.compute, "steps": size.max_steps}
