"""The table of `plot.py --table`: one row a run. No torch."""

import math
from collections.abc import Iterable, Sequence
from os.path import isdir
from typing import Any

from tabulate import tabulate

from transformer.storage.run_list import runs_below
from transformer.sweep.run_rows import (
    ENDED,
    RunRow,
    are_of_several_tasks,
    differing_keys,
    differs_from_most,
    flag_value,
    metric_of_rows,
    ranked,
    read_row,
)
from transformer.system.errors import UserError
from transformer.system.terminal import say

MOST_COLUMNS = 7  # of keys: with more, a row tells its own keys in one column
MOST_WORDS = 8  # in that column
_LAST = "~: of the last validation; the run has not ended"
_SEVERAL = "models of texts and of pairs: their losses cannot be compared"


def read_rows(folders: Iterable[str]) -> list[RunRow]:
    """The runs in these folders, each once; says on stderr which cannot be read.

    Raises: UserError for a folder that is not there, and if no run is found.
    """
    folders, rows, left_out = list(folders), {}, 0
    for folder in folders:
        if not isdir(folder):
            raise UserError(f"{folder}: no such folder: name a run, or a folder of runs")
        runs = runs_below(folder)
        if not runs:
            say(f"{folder}: no run in here, which would have a config.yaml")
        for run in runs:
            try:
                rows.setdefault(run.resolve(), read_row(run))
            except (UserError, OSError) as error:
                left_out += 1
                say(f"left out: {error}")
    if not rows:
        why = f" ({left_out} cannot be read)" if left_out else ""
        raise UserError(
            f"{' '.join(folders)}: no run to show{why}: train one with `python train.py`, or name "
            "a folder of runs"
        )
    return list(rows.values())


def run_table(rows: Sequence[RunRow]) -> str:
    """Text in columns, the lowest loss first; the keys that differ stand last."""
    metric, keys = metric_of_rows(rows), differing_keys(rows)
    columns = keys if len(keys) <= MOST_COLUMNS else ["not as in most runs"]
    lines = []
    for row in ranked(rows, metric):
        cells = [flag_value(row, key) for key in keys]
        if columns is not keys:
            cells = [_shortened(differs_from_most(rows, row, keys))]
        best, last = (f"{n:,}" if n is not None else "-" for n in (row.best_step, row.step))
        steps = f"{best}/{last}" if row.step is not None else ""
        lines.append([row.run, _loss(row, metric), steps, _time(row.seconds), row.state, *cells])
    header = ["run", metric, "best/last step", "time", "state", *columns]
    align = ["left", "right", "right", "right", "left", *["left"] * len(columns)]
    table = tabulate(lines, header, disable_numparse=True, colalign=align)
    validated = any(row.state != ENDED and row.losses for row in rows)
    notes = [_LAST] * validated + [_SEVERAL] * are_of_several_tasks(rows)
    return "\n".join([table, *notes])


def _shortened(words: Sequence[str]) -> str:
    left = len(words) - MOST_WORDS
    return " ".join([*words[:MOST_WORDS], *[f"and {left} more (--json)"] * (left > 0)])


def run_facts(rows: Sequence[RunRow]) -> dict[str, Any]:
    """The same for programs; a loss that is no number is None."""
    metric, keys = metric_of_rows(rows), differing_keys(rows)
    return {
        "metric": metric,
        "differing_keys": keys,
        "runs": [
            {
                "run": str(row.run),
                "state": row.state,
                "exact": row.state == ENDED,
                **{name: v if math.isfinite(v) else None for name, v in row.losses.items()},
                "best_step": row.best_step,
                "step": row.step,
                "seconds": row.seconds,
                "keys": {key: row.keys[key] for key in keys if key in row.keys},
            }
            for row in ranked(rows, metric)
        ],
    }


def _loss(row: RunRow, metric: str) -> str:
    loss = row.losses.get(metric)
    return "" if loss is None else f"{'~' * (row.state != ENDED)}{loss:z.4f}"


def _time(seconds: float | None) -> str:
    """`12 s`, `3:05 min` or `1:02 h`."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{rest:02} min"
    return f"{minutes // 60}:{minutes % 60:02} h"
