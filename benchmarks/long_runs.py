"""Records runs that took too long to be made again for a table: `python benchmarks/long_runs.py
NAME=RUN ...`, for example `"half-hour.yaml=runs/half-hour/version_0"`

Reads what train.py has written into the folder of each run: its results, and the command, commit,
versions and processor. long_runs.json keeps one row for each name.
"""

import argparse
import json
from datetime import date
from pathlib import Path
from typing import Any

from record import as_folder, processor, recorded_by_name, save
from tabulate import tabulate

PICKED = (
    "val_loss",
    "val_word_error_rate",
    "best_step",
    "step",
    "corpus_passes",
    "num_parameters",
    "elapsed_seconds",
)
MADE_BY = ("command", "commit", "versions", "processor", "num_threads")


def row_of(run: Path) -> dict[str, Any]:
    """Raises: SystemExit for a run of another processor."""
    summary, record = (
        json.loads((run / name).read_text(encoding="utf-8"))
        for name in ("summary.json", "repeat.json")
    )
    (part,) = record["parts"]  # a run that was never stopped
    if not processor().startswith(as_folder(part["processor"])):
        raise SystemExit(f"{run}: was trained on {part['processor']}: record it there")
    ended_on = date.fromtimestamp((run / "summary.json").stat().st_mtime).isoformat()
    facts = {name: part[name] for name in MADE_BY}
    facts["command"] = [Path(word).name for word in part["command"]]  # no places of this machine
    return {name: summary[name] for name in PICKED if name in summary} | facts | {"date": ended_on}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="*", metavar="NAME=RUN")
    arguments = parser.parse_args()
    rows = recorded_by_name("long_runs")
    for name, _, run in (each.partition("=") for each in arguments.runs):
        rows[name] = row_of(Path(run))
        save("long_runs", rows)
    table = [[name, *(row.get(picked) for picked in PICKED)] for name, row in rows.items()]
    print(tabulate(table, ("", *PICKED), floatfmt=".4g"))


if __name__ == "__main__":
    main()
