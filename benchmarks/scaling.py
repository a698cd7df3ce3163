"""Measures how much faster two processes are than one: `python benchmarks/scaling.py`

Trains the 10.7 M parameters of configs/shakespeare-gpu.yaml on a CPU with two gloo processes (ddp)
and with one, in turn. Each process has batch 8 and one thread. The medians of the logged tokens/s,
without the first steps, go to scaling.json.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from record import ROOT, save
from tabulate import tabulate

from transformer.run.comparison import curves

STEPS, SKIPPED = 30, 10
FLAGS = {
    **{"batch_size": 8, "max_steps": STEPS, "val_every_steps": 10**6, "val_fraction": 0.001},
    **{"num_workers": 0, "max_minutes": "none", "accelerator": "cpu", "precision": "auto"},
}
ROUNDS = 5


def tokens_per_second(devices: int, data_path: str) -> float:
    config = ["--config", str(ROOT / "configs" / "shakespeare-gpu.yaml")]
    keys = FLAGS | {"devices": devices, "data_path": data_path}
    return logged_rate(config, keys, SKIPPED, OMP_NUM_THREADS="1")


def logged_rate(config: list[str], keys: dict[str, Any], skipped: int, **variables: str) -> float:
    """The median of the tokens/s that a run of train.py logs after `skipped` steps."""
    with tempfile.TemporaryDirectory() as folder:
        flags = [f"--{key}={value}" for key, value in (keys | {"runs_dir": folder}).items()]
        command = [sys.executable, str(ROOT / "train.py"), *config, *flags]
        environment = os.environ | variables
        subprocess.run(command, check=True, cwd=ROOT, env=environment, capture_output=True)
        (run,) = Path(folder).glob("*/version_0")
        ((_, points),) = curves(run, ["tokens_per_second"]).items()
        facts = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    assert facts["step"] == keys["max_steps"]
    return median(rate for step, rate in points if step > skipped)


def table(figures: dict[str, Any]) -> str:
    rates = figures["tokens_per_second"]
    rows = [
        (side, f"{rate:,.0f}", f"{rate / rates['one process']:.2f}") for side, rate in rates.items()
    ]
    header = ("10.7 M parameters, a thread each", "tokens/s", "ratio")
    return tabulate(rows, header, tablefmt="pipe", disable_numparse=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data_path", default="data/input.txt")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    arguments = parser.parse_args()
    rounds: dict[str, list[float]] = {"one process": [], "two processes": []}
    for _ in range(arguments.rounds):
        for devices, rates in enumerate(rounds.values(), start=1):
            rates.append(tokens_per_second(devices, arguments.data_path))
            print(devices, f"{rates[-1]:,.0f} tokens/s", flush=True)
    medians = {side: median(rates) for side, rates in rounds.items()}
    figures: dict[str, Any] = {
        "config": FLAGS,
        "tokens_per_second": medians,
        "ratio": medians["two processes"] / medians["one process"],
        "rounds": rounds,
    }
    print(table(figures))
    print(save("scaling", figures))


if __name__ == "__main__":
    main()
