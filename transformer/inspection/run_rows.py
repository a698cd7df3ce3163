"""Runs as rows of a table: what differs between their configs, their losses and times. No torch."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformer.config.compared_keys import TOKEN_KEYS
from transformer.config.run_files import load_run_config
from transformer.storage.curves import PER_BYTE, VAL_LOSS, read_curves
from transformer.storage.run_folder import CONFIG, SUMMARY
from transformer.storage.run_lock import holder_of
from transformer.system.errors import UserError
from transformer.system.files import read_utf8

ENDED, RUNS, STOPPED = "ended", "runs", "stopped"
# Keys that do not change what is learned.
_SILENT = {"run_name", "runs_dir", "cache_dir", "sample_prompt", "logger", "snapshots"}
_SILENT |= {"checkpoint_every_minutes", "num_workers"}
_ABSENT = object()  # a key that the run's model does not have


@dataclass(frozen=True)
class RunRow:
    """One run. `losses` are val_loss and, for a text, val_bits_per_byte.

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
    state = RUNS if holder_of(run) is not None else STOPPED
    if state != RUNS and (run / SUMMARY).is_file():
        return _ended(run, keys)
    try:
        curves = read_curves(run)
    except UserError:  # it has logged nothing yet
        return RunRow(run, state, keys)
    points = [point for curve in curves.values() for point in curve]
    vals = curves.get(VAL_LOSS, [])
    return RunRow(
        run,
        state,
        keys,
        {name: curves[name][-1].value for name in (VAL_LOSS, PER_BYTE) if curves.get(name)},
        min(vals, key=lambda point: point.value).step if vals else None,
        max(point.step for point in points),
        max(point.seconds for point in points),
    )


def _ended(run: Path, keys: Mapping[str, Any]) -> RunRow:
    path = run / SUMMARY
    try:
        summary = json.loads(read_utf8(path, "summary of a run"))
        losses = {name: float(summary[name]) for name in (VAL_LOSS, PER_BYTE) if name in summary}
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


def told(row: RunRow, key: str) -> str:
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
    return [f"{key}={told(row, key)}" for key in own]


def metric_of(rows: Sequence[RunRow]) -> str:
    """The loss to compare by: per byte where the runs have different tokens, if all tell it."""
    others = TOKEN_KEYS & {*differing_keys(rows)}
    with_losses = [row for row in rows if row.losses]
    per_byte = others and all(PER_BYTE in row.losses for row in with_losses)
    return PER_BYTE if per_byte and with_losses else VAL_LOSS


def ranked(rows: Sequence[RunRow], metric: str) -> list[RunRow]:
    """The lowest loss first; runs without a loss, or with one that is no number, last."""
    return sorted(rows, key=lambda row: (_finite(row.losses.get(metric)), str(row.run)))


def _finite(loss: float | None) -> float:
    return math.inf if loss is None or not math.isfinite(loss) else loss
