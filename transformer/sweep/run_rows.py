"""Runs as rows of a table: what differs between their configs, their losses and times. No torch."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformer.config.run_files import load_run_config
from transformer.storage.curves import (
    ERROR_RATE,
    PER_BYTE,
    UNIT_ERROR_RATE,
    VAL_LOSS,
    read_curves,
)
from transformer.storage.events import Point
from transformer.storage.run_folder import CONFIG, SUMMARY
from transformer.storage.run_lock import holder_of
from transformer.sweep.failures import read_failures
from transformer.sweep.metric import metric_of
from transformer.system.errors import UserError
from transformer.system.files import read_utf8
from transformer.tasks.registry import task_of

ENDED, RUNS, STOPPED = "ended", "runs", "stopped"
FAILED = "failed"  # in a sweep
# Keys that do not change what is learned.
_SILENT = {"run_name", "runs_dir", "cache_dir", "sample_prompt", "logger", "snapshots"}
_SILENT |= {"checkpoint_every_minutes", "num_workers"}
_SCORES = (VAL_LOSS, PER_BYTE, UNIT_ERROR_RATE, ERROR_RATE)
_ABSENT = object()  # a key that the run's model does not have


@dataclass(frozen=True)
class RunRow:
    """One run. `losses` are val_loss and, for a text, val_bits_per_byte; for pairs, error rates.

    They are exact, of the best weights, if the run has ended; else those of its last validation.
    """

    run: Path
    state: str
    keys: Mapping[str, Any]
    losses: Mapping[str, float] = field(default_factory=dict)
    best_step: int | None = None
    step: int | None = None
    seconds: float | None = None


def read_row(run: Path) -> RunRow:
    """Raises: UserError for a folder that is not a run of this program, or is damaged."""
    keys = load_run_config(run / CONFIG).resolved()
    state = _state(run)
    if state == ENDED:
        return _ended(run, keys)
    try:
        curves = read_curves(run)
    except UserError:  # it has logged nothing yet
        return RunRow(run, state, keys)
    points = [point for curve in curves.values() for point in curve]
    return RunRow(
        run,
        state,
        keys,
        {name: curves[name][-1].value for name in _SCORES if curves.get(name)},
        _best_step(curves.get(metric_of([keys["model"]], ()), []), curves.get(VAL_LOSS, [])),
        max(point.step for point in points),
        max(point.seconds for point in points),
    )


def _state(run: Path) -> str:
    if holder_of(run) is not None:
        return RUNS
    if run.parent.name in read_failures(run.parent.parent):
        return FAILED
    return ENDED if (run / SUMMARY).is_file() else STOPPED


def _best_step(scores: Sequence[Point], losses: Sequence[Point]) -> int | None:
    """As a run picks its best weights: of the steps with the lowest score, by val_loss."""
    loss_at = {point.step: point.value for point in losses}
    order = [(point.value, loss_at.get(point.step, math.inf), point.step) for point in scores]
    return min(order)[-1] if order else None


def _ended(run: Path, keys: Mapping[str, Any]) -> RunRow:
    path = run / SUMMARY
    try:
        summary = json.loads(read_utf8(path, "summary of a run"))
        losses = {name: float(summary[name]) for name in _SCORES if name in summary}
        best_step, step = int(summary["best_step"]), int(summary["step"])
        return RunRow(run, ENDED, keys, losses, best_step, step, float(summary["elapsed_seconds"]))
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path}: is damaged, or not the summary of a run") from None


def differing_keys(rows: Sequence[RunRow]) -> list[str]:
    """The keys whose values differ, in the order of a config; defaults count as values."""
    names = dict.fromkeys(key for row in rows for key in row.keys if key not in _SILENT)
    return [key for key in names if len({_frozen(row, key) for row in rows}) > 1]


def _frozen(row: RunRow, key: str) -> Any:
    value = row.keys.get(key, _ABSENT)
    return tuple(value) if isinstance(value, list) else value


def commonest(rows: Sequence[RunRow], key: str) -> Any:
    values = [_frozen(row, key) for row in rows]
    return max(values, key=values.count)


def flag_value(row: RunRow, key: str) -> str:
    """A value as a flag has it; empty for a key that the run's model does not have."""
    value = row.keys.get(key, "")
    if isinstance(value, float):
        return f"{value:g}"
    if value is None or isinstance(value, bool):
        return "none" if value is None else str(value).lower()
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def differs_from_most(rows: Sequence[RunRow], row: RunRow, keys: Sequence[str]) -> list[str]:
    """Of one run, the values that are not the most frequent ones, such as `lr=0.01`."""
    own = [key for key in keys if key in row.keys and _frozen(row, key) != commonest(rows, key)]
    return [f"{key}={flag_value(row, key)}" for key in own]


def metric_of_rows(rows: Sequence[RunRow]) -> str:
    """The score to compare by, as a sweep of these runs has it; val_loss if some do not tell it."""
    metric = metric_of({row.keys["model"] for row in rows}, differing_keys(rows))
    with_losses = [row for row in rows if row.losses]
    all_tell = with_losses and all(metric in row.losses for row in with_losses)
    return metric if all_tell else VAL_LOSS


def are_of_several_tasks(rows: Sequence[RunRow]) -> bool:
    return len({task_of(row.keys["model"]) for row in rows}) > 1


def ranked(rows: Sequence[RunRow], metric: str) -> list[RunRow]:
    """The lowest loss first; last are runs that failed, have no loss, or one that is no number."""
    return sorted(rows, key=lambda row: (_comparable(row, metric), str(row.run)))


def _comparable(row: RunRow, metric: str) -> float:
    loss = row.losses.get(metric, math.inf)
    return loss if math.isfinite(loss) and row.state != FAILED else math.inf
