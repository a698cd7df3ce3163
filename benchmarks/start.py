"""Measures how long a run of one step takes: `python benchmarks/start.py`

The whole process of `train.py --config configs/default.yaml --max_steps 1`, in turn with processes
that only import torch, and torch and Lightning. So the result says what is left for the run itself:
one step, a validation over all of the split, the exact loss, two samples and the files. Medians go
to start.json.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from record import DEFAULT_CONFIG, ROOT, save
from tabulate import tabulate

ROUNDS = 5
LEAN = "from transformer.system.lean_imports import import_lightning; import_lightning()"
SIDES = {
    "import torch": ["-c", "import torch"],
    "import pytorch_lightning": ["-c", "import pytorch_lightning"],
    "as a run imports it": ["-c", LEAN],
    # With a config: data alone would get a plan for its own.
    "train.py --max_steps 1": [str(ROOT / "train.py"), *DEFAULT_CONFIG, "--max_steps", "1"],
}


def seconds(arguments: list[str], home: str, data_path: str) -> float:
    if arguments[0] != "-c":
        arguments = [*arguments, "--data_path", data_path, "--runs_dir", home]
    started_at = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, cwd=ROOT, capture_output=True)
    return time.perf_counter() - started_at


def table(figures: dict[str, Any]) -> str:
    rows = [(side, f"{value:.1f} s") for side, value in figures["seconds"].items()]
    return tabulate(rows, ("process", "whole time"), tablefmt="pipe", disable_numparse=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data_path", default="data/input.txt")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    arguments = parser.parse_args()
    data_path = str(Path(arguments.data_path).absolute())
    rounds: dict[str, list[float]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as home:
        for number in range(arguments.rounds + 1):
            for side, command in SIDES.items():
                taken = seconds(command, home, data_path)
                if number:  # the first round writes bytecode and fills the caches of the disk
                    rounds[side].append(taken)
    figures = {"seconds": {side: median(times) for side, times in rounds.items()}, "rounds": rounds}
    print(table(figures))
    print(save("start", figures))


if __name__ == "__main__":
    main()
