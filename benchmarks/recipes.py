"""Measures configs: `python benchmarks/recipes.py configs/default.yaml [...] --seeds 3`.

Trains each config as a user would, one whole `python train.py` process after the other. The medians
over the seeds go to recipes.json; rows of other configs there are kept. Prints the README's
table. Without a config it measures nothing.

The recipes were chosen on the validation split. With `--test_fraction 0.1`, runs keep a third split
that no choice is made on, and score it once, at their end: rows for recipes_tested.json, and a
table for docs/results.md.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from record import ROOT, SHOWN, circumstances, load, save

PICKED = ("val_loss", "val_bits_per_char", "train_loss", "step", "corpus_passes")
PICKED_TOO = ("tokens_per_second", "num_parameters", "precision")
PLAIN, TESTED = "recipes", "recipes_tested"  # files of results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("configs", nargs="*", type=Path)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--data_path", default=None)
    parser.add_argument("--test_fraction", default=None)
    arguments = parser.parse_args()
    keys = {"data_path": arguments.data_path, "test_fraction": arguments.test_fraction}
    given = {key: value for key, value in keys.items() if value is not None}
    name = TESTED if "test_fraction" in given else PLAIN
    rows = recorded(name)
    for config in arguments.configs:
        runs = [run(config, {"seed": str(seed)} | given) for seed in range(arguments.seeds)]
        rows[config.as_posix()] = summarize(runs) | {"circumstances": circumstances()}
        save(name, rows)
    print(tested_table(rows) if name == TESTED else table())


def recorded(name: str, processor: str | None = None) -> dict[str, Any]:
    try:
        return load(name, processor)["figures"]
    except FileNotFoundError:
        return {}


def run(config: Path, keys: dict[str, str]) -> dict[str, Any]:
    """Runs and times one whole process."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(ROOT / "train.py"), "--config", str(config)]
        command += [f"--{key}={value}" for key, value in ({"runs_dir": folder} | keys).items()]
        started_at = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)  # the peak of this process, not of all children
        elapsed_seconds = time.perf_counter() - started_at
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{' '.join(command)}: exit status {process.returncode}")
        (path,) = Path(folder).glob("*/*/summary.json")
        summary = json.loads(path.read_text(encoding="utf-8"))
    tested = ("test_loss", "test_bits_per_char") if "test_loss" in summary else ()
    figures = {name: summary[name] for name in (*PICKED, *PICKED_TOO, *tested)}
    return figures | {
        "seed": int(keys["seed"]),
        "process_seconds": elapsed_seconds,
        "peak_resident_gigabytes": usage.ru_maxrss * 1024 / 1e9,
    }


def summarize(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The medians of all floats, and every run."""
    numbers = [name for name, value in runs[0].items() if isinstance(value, float)]
    return {name: median(run[name] for run in runs) for name in numbers} | {
        "num_parameters": runs[0]["num_parameters"],
        "precision": runs[0]["precision"],
        "runs": runs,
    }


def same_run(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two rows are of the same sizes and steps."""
    facts = [(row["num_parameters"], row["runs"][0]["step"]) for row in (one, other) if row]
    return len(facts) == 2 and facts[0] == facts[1]


def table() -> str:
    """The README's table in Markdown, best loss of its first processor first.

    A row that another processor has of a former shape leaves its minutes empty.
    """
    by_name = {name: recorded(PLAIN, processor) for name, processor in SHOWN.items()}
    first, *_ = by_name.values()
    minutes = " | ".join(f"minutes, {name}" for name in by_name)
    lines = [
        f"| config | parameters | {minutes} | val_loss | bits per character | peak memory |",
        "|---|---|" + "---|" * len(by_name) + "---|---|---|",
    ]
    for config, row in sorted(first.items(), key=lambda item: item[1]["val_loss"]):
        others = [rows.get(config, {}) for rows in by_name.values()]
        seconds = [each.get("process_seconds") if same_run(each, row) else None for each in others]
        cells = (
            f"`{config}`",
            f"{row['num_parameters']:,}",
            *("" if each is None else f"{each / 60:.1f}" for each in seconds),
            f"{row['val_loss']:z.3f}",
            f"{row['val_bits_per_char']:z.3f}",
            f"{row['peak_resident_gigabytes']:.2f} GB",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def tested_table(rows: dict[str, Any]) -> str:
    """In Markdown, of one processor; best loss on the test split first."""
    lines = ["| config | seeds | val_loss | test_loss |", "|---|---|---|---|"]
    for config, row in sorted(rows.items(), key=lambda item: item[1]["test_loss"]):
        losses = f"{row['val_loss']:z.3f} | {row['test_loss']:z.3f}"
        lines.append(f"| `{config}` | {len(row['runs'])} | {losses} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
