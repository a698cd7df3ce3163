"""Compares `auto` with every fixed choice: `python benchmarks/auto.py --data_path data/input.txt`

For each config, whole processes of train.py: precision, compile and num_threads as `auto` settles
them, and every combination of their fixed values. Short trials say what each would take; those
that are not hopeless then run in turn with auto, in several rounds: quick.yaml and default.yaml in
full, the others with the steps that take `--seconds`. What auto measures is remembered before, and
what is compiled is in inductor's cache, as after a user's first run. The medians and the ratio of
auto to the best go to auto.json, which keeps those of the other configs.
"""

import argparse
import itertools
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from record import ROOT, built_in, recorded_by_name, save
from tabulate import tabulate

from transformer.config.files import load_config
from transformer.system.cores import available_cores

HOPELESS = 1.2  # times what the best would take, by the trials
TRIAL_SECONDS, LEAST_TRIAL = 5.0, 4  # what more steps the second trial makes
FEW = 2
ROUNDS = 3
LARGE = {
    **{"num_blocks": 6, "num_heads": 6, "embedding_dim": 384, "block_size": 256},
    "feedforward_dim": "none",  # usual for this width; default.yaml has that of its own
}
CUT = {"val_every_steps": 10**6, "val_fraction": 0.01}  # little but steps
# Name: config, its changes, whether it runs in full.
CONFIGS: dict[str, tuple[str, dict[str, Any], bool]] = {
    "quick.yaml": ("quick.yaml", {}, True),
    "default.yaml": ("default.yaml", {}, True),
    "10.7 M": ("default.yaml", LARGE | CUT, False),
    "g2p.yaml": (
        "g2p.yaml",
        {"data_path": "cmudict-single.tsv", "test_fraction": 0.01} | CUT,
        False,
    ),
}
AUTO = {"precision": "auto", "compile": "auto", "num_threads": "auto"}
Keys = dict[str, Any]


def fixed_choices(cores: int) -> dict[str, Keys]:
    values = (("float32", "bf16"), ("false", "true"), sorted({1, cores}, reverse=True))
    choices = [dict(zip(AUTO, each, strict=True)) for each in itertools.product(*values)]
    return {" ".join(map(str, choice.values())): choice for choice in choices}


def run(config: str, keys: Keys) -> tuple[float, str]:
    """The seconds of the whole process, and what its run was trained with."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(ROOT / "train.py"), "--config", f"{ROOT}/configs/{config}"]
        given = keys | {"runs_dir": folder}
        command += [part for key, value in given.items() for part in (f"--{key}", str(value))]
        started_at = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        taken = time.perf_counter() - started_at
        settled = load_config(next(Path(folder).glob("*/version_0/config.yaml")))
    return taken, " ".join(str(getattr(settled, key)).lower() for key in AUTO)


def expected_seconds(config: str, sides: dict[str, Keys], steps: int | None, seconds: float) -> Any:
    """The steps of a whole run, and what it would take with each side."""

    def trial(keys: Keys, number: int) -> float:
        return run(config, keys | {"max_steps": number})[0]

    many, expected = FEW + LEAST_TRIAL, {}
    for name, keys in sides.items():
        trial(keys, FEW)  # compiles, and lets auto measure
        few = trial(keys, FEW)
        if name == "auto":
            a_step = max(trial(keys, many) - few, 0.1) / LEAST_TRIAL
            many = FEW + max(LEAST_TRIAL, round(TRIAL_SECONDS / a_step))
        a_step = (trial(keys, many) - few) / (many - FEW)
        steps = steps or round(seconds / a_step)
        expected[name] = few + (steps - FEW) * a_step
    return steps, expected


def measure(name: str, data_path: str, seconds: float, rounds: int) -> dict[str, Any]:
    config, keys, in_full = CONFIGS[name]
    keys = keys | {"data_path": built_in(keys["data_path"]) if "data_path" in keys else data_path}
    fixed = fixed_choices(available_cores())
    sides = {side: keys | choice for side, choice in {"auto": AUTO, **fixed}.items()}
    steps = load_config(ROOT / "configs" / config).max_steps if in_full else None
    steps, expected = expected_seconds(config, sides, steps, seconds)
    print(name, steps, "steps, by short trials:", {k: round(v) for k, v in expected.items()})
    limit = HOPELESS * min(expected[side] for side in fixed)
    tried = {side: sides[side] | {"max_steps": steps} for side in fixed if expected[side] <= limit}
    tried = {"auto": sides["auto"] | {"max_steps": steps}} | tried
    times: dict[str, list[float]] = {side: [] for side in tried}
    chosen = ""
    for _ in range(rounds):
        for side, given in tried.items():
            taken, settled = run(config, given)
            times[side].append(taken)
            chosen = settled if side == "auto" else chosen
    medians = {side: median(taken) for side, taken in times.items()}
    best = min(value for side, value in medians.items() if side != "auto")
    ratio = {"auto_over_best": medians["auto"] / best}
    figures = {"steps": steps, "chosen": chosen, "seconds": medians, "rounds": times}
    return figures | ratio | {"by_trials": expected}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data_path", required=True, type=Path)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--configs", nargs="*", default=list(CONFIGS), choices=list(CONFIGS))
    arguments = parser.parse_args()
    figures = recorded_by_name("auto")
    path = str(arguments.data_path.absolute())
    for name in arguments.configs:
        figures[name] = measure(name, path, arguments.seconds, arguments.rounds)
        print(f"auto chose {figures[name]['chosen']}: {figures[name]['auto_over_best']:.2f}")
        print(tabulate(figures[name]["seconds"].items()), flush=True)
        save("auto", figures)


if __name__ == "__main__":
    main()
