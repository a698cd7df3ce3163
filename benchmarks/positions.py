"""Compares sinusoidal and learned positions: `python benchmarks/positions.py`

Runs whole `python train.py` processes in float32, with `--seeds` (3) seeds of each kind: the gpt of
configs/gpt2-recipe-cpu.yaml, and 1,000 steps of the encoder_decoder of configs/reverse.yaml. When a
run ends, its results go to positions.json. Existing rows are kept.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from record import ROOT, circumstances, load, save

FLAGS = {"gpt2-recipe-cpu": (), "reverse": ("--max_steps", "1000")}
METRICS = ("val_loss", "val_word_error_rate")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--configs", nargs="+", default=list(FLAGS))
    arguments = parser.parse_args()
    try:
        rows = load("positions")["figures"]
    except FileNotFoundError:
        rows = {}
    for seed in range(arguments.seeds):
        for config in arguments.configs:
            for positions in ("learned", "sinusoidal"):
                name = f"{config} {positions} {seed}"
                if name not in rows:
                    rows[name] = run(config, positions, seed)
                    save("positions", rows)
                    print(name, {key: rows[name][key] for key in METRICS if key in rows[name]})


def run(config: str, positions: str, seed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(ROOT / "train.py")]
        command += ["--config", str(ROOT / "configs" / f"{config}.yaml"), *FLAGS[config]]
        command += ["--positions", positions, "--seed", str(seed)]
        command += ["--precision", "float32", "--runs_dir", folder]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        (path,) = Path(folder).glob("*/*/summary.json")
        summary = json.loads(path.read_text(encoding="utf-8"))
    figures = {key: summary[key] for key in METRICS if key in summary}
    return figures | {"circumstances": circumstances()}


if __name__ == "__main__":
    main()
