"""Compares `auto` with every fixed choice: `python benchmarks/auto.py --data_path data/input.txt`

For each config, whole processes of train.py run in turn: precision, compile and num_threads as
`auto` settles them, and every combination of their fixed values. The runs are cut to the steps
that take `--seconds` with auto; a fixed choice that takes HOPELESS times as long as auto is ended
there. What auto measures is remembered before, as after a user's first run. The seconds and the
ratio of auto to the best go to auto.json, which keeps those of the other configs.
"""

import argparse
import itertools
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from record import ROOT, built_in, load, save
from tabulate import tabulate

HOPELESS = 1.3
LARGE = {
    **{"num_blocks": 6, "num_heads": 6, "embedding_dim": 384, "block_size": 256},
    "feedforward_dim": "none",  # usual for this width; default.yaml has that of its own
}
CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "quick.yaml": ("quick.yaml", {}),
    "default.yaml": ("default.yaml", {}),
    "10.7 M": ("default.yaml", LARGE),
    "g2p.yaml": ("g2p.yaml", {"data_path": "cmudict-single.tsv"}),
}
AUTO = {"precision": "auto", "compile": "auto", "num_threads": "auto"}
TRIAL_STEPS = 5, 50


def fixed_choices(cores: int) -> list[dict[str, Any]]:
    values = (("float32", "bf16"), ("false", "true"), sorted({1, cores}, reverse=True))
    return [dict(zip(AUTO, each, strict=True)) for each in itertools.product(*values)]


def seconds_of(config: str, keys: dict[str, Any], steps: int, limit: float | None) -> float | None:
    """Of the whole process; None if it takes longer than the limit."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(ROOT / "train.py"), "--config", f"{ROOT}/configs/{config}"]
        keys = keys | {"max_steps": steps, "runs_dir": folder, "val_every_steps": 10**6}
        command += [part for key, value in keys.items() for part in (f"--{key}", str(value))]
        started_at = time.perf_counter()
        try:
            subprocess.run(command, check=True, timeout=limit, stdout=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            return None
        return time.perf_counter() - started_at


def measure(name: str, data_path: str, seconds: float, cores: int) -> dict[str, Any]:
    config, keys = CONFIGS[name]
    keys = keys | {"data_path": built_in(keys["data_path"]) if "data_path" in keys else data_path}
    seconds_of(config, keys | AUTO, 1, None)  # measures what auto asks, and fills the disk's cache
    few, many = (seconds_of(config, keys | AUTO, n, None) or 0.0 for n in TRIAL_STEPS)
    step = max(many - few, 0.1) / (TRIAL_STEPS[1] - TRIAL_STEPS[0])
    steps = max(TRIAL_STEPS[1], round(seconds / step))
    auto = [seconds_of(config, keys | AUTO, steps, None) or 0.0]
    limit = HOPELESS * auto[0]
    fixed = {}
    for choice in fixed_choices(cores):
        fixed[" ".join(map(str, choice.values()))] = seconds_of(config, keys | choice, steps, limit)
    auto.append(seconds_of(config, keys | AUTO, steps, None) or 0.0)
    mean = sum(auto) / 2  # of before and after the others, as the machine's speed drifts
    best = min(value for value in fixed.values() if value is not None)
    return {"steps": steps, "auto": auto, "fixed": fixed, "auto_over_best": mean / best}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data_path", required=True, type=Path)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--configs", nargs="*", default=list(CONFIGS), choices=list(CONFIGS))
    arguments = parser.parse_args()
    figures: dict[str, Any] = {}

    from transformer.system.cores import available_cores

    cores = available_cores()
    with suppress(FileNotFoundError):
        figures |= load("auto")["figures"]
    for name in arguments.configs:
        path = str(arguments.data_path.absolute())
        figures[name] = measure(name, path, arguments.seconds, cores)
        rows = [("auto", *figures[name]["auto"]), *figures[name]["fixed"].items()]
        print(f"{name}: {figures[name]['steps']} steps, auto {figures[name]['auto_over_best']:.2f}")
        print(tabulate(rows), flush=True)
    print(save("auto", figures))


if __name__ == "__main__":
    main()
