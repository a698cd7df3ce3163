"""Compares the time and the loss of whole training processes with the baseline's.

`python benchmarks/time_to_loss.py --data_path FILE` runs for each seed (1) baseline.py; (2)
`train.py --config configs/quick.yaml`, which shows how soon it reaches the baseline's loss; (3)
`train.py --config configs/default.yaml --max_minutes M`, where M is the baseline's time, which
shows how much better its loss is then. Losses are exact, over the last tenth of the file. Results:
time_to_loss.json.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from record import ROOT, save

# Start and end of the Python process, which max_minutes does not include.
OUTSIDE_SECONDS = 1.5


def timed(command: list[str]) -> tuple[float, str]:
    started_at = time.perf_counter()
    result = subprocess.run(
        [sys.executable, *command], check=True, stdout=subprocess.PIPE, text=True
    )
    return time.perf_counter() - started_at, result.stdout


def ours(config: str, data_path: str, seed: int, *flags: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        command = [str(ROOT / "train.py"), "--config", str(ROOT / "configs" / config)]
        command += ["--data_path", data_path, "--seed", str(seed), "--runs_dir", folder, *flags]
        seconds, _ = timed(command)
        (path,) = Path(folder).glob("*/*/summary.json")
        summary = json.loads(path.read_text(encoding="utf-8"))
    return {"seconds": seconds, "val_loss": summary["val_loss"], "step": summary["step"]}


def one_seed(data_path: str, seed: int) -> dict[str, Any]:
    script = str(ROOT / "benchmarks" / "baseline.py")
    seconds, output = timed([script, "--data_path", data_path, "--seed", str(seed)])
    minutes = (seconds - OUTSIDE_SECONDS) / 60
    return {
        "baseline": {"seconds": seconds} | json.loads(output.splitlines()[-1]),
        "quick": ours("quick.yaml", data_path, seed),
        "same time": ours("default.yaml", data_path, seed, "--max_minutes", f"{minutes:.4f}"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data_path", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    runs = []
    for seed in range(arguments.seeds):
        runs.append(one_seed(arguments.data_path, seed))
        print(json.dumps(runs[-1]), flush=True)
    medians = {
        side: {name: median(run[side][name] for run in runs) for name in ("seconds", "val_loss")}
        for side in runs[0]
    }
    ratio = median(run["quick"]["seconds"] / run["baseline"]["seconds"] for run in runs)
    figures = {"medians": medians, "quick_seconds_over_baseline": ratio, "runs": runs}
    print(json.dumps(medians, indent=2), ratio, save("time_to_loss", figures))


if __name__ == "__main__":
    main()
