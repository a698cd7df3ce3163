"""Which share of a training step is Muon's: `python benchmarks/muon_share.py`

A step of configs/default.yaml as a run here makes it: with the number format that `auto` takes, and
compiled if a run of this config would be; on one thread and on all. Where that is not float32, a
step in float32 too, as only there Muon may compute by inverses. Each way in which Muon can compute
in this format is timed in turn. Medians of wall times; other programs should rest. Muon's part is
that of the whole optimizer, with AdamW for embeddings and head. Written to muon_share.json: each
row says with what its step was made, and whether a run would settle for that.
"""

import argparse
import time
from dataclasses import replace
from statistics import median
from typing import Any

import torch
from record import ROOT, built_in, save
from tabulate import tabulate

from transformer.config.files import load_config
from transformer.config.keys import Config
from transformer.run.compiling import repeatable
from transformer.run.fit import read_input
from transformer.run.preparation import Prepared, prepare
from transformer.tasks.base import Data
from transformer.training.optimization.optimizers import make_optimizer
from transformer.training.optimization.polar import POLARS
from transformer.training.settings import OptimizerSettings

WARMUP_STEPS = 3
FLOAT32 = "float32"


def measure(config: Config, data: Data, rounds: int) -> list[dict[str, Any]]:
    """A row for each way in which Muon can compute; what is auto is settled as a run does it."""
    parts = prepare(config, data)
    settled = parts.config
    names = list(POLARS)
    if settled.precision != FLOAT32:
        names.remove("zolotarev")  # needs its digits
    with repeatable(settled):
        taken = times_in_turn(parts, names, rounds)
    made_with = {
        "threads": torch.get_num_threads(),
        "precision": settled.precision,
        "compile": settled.compile,
    }
    return [
        made_with
        | {"polar": name, "settled": name == settled.polar and config.precision == "auto"}
        | shares(seconds)
        for name, seconds in taken.items()
    ]


def times_in_turn(
    parts: Prepared, names: list[str], rounds: int
) -> dict[str, list[tuple[float, float]]]:
    """Seconds of the passes and of the optimizer in each round."""
    module, bf16 = parts.module, parts.config.precision == "bf16"
    settings = parts.config.group(OptimizerSettings)
    optimizers = {
        name: make_optimizer(module.model, replace(settings, polar=name), bf16=bf16)
        for name in names
    }
    num_symbols = min(parts.task.data.sizes.values())
    batch = [torch.randint(num_symbols, shape) for shape in parts.task.typical_shapes]
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for _ in range(WARMUP_STEPS + rounds):
        for name, optimizer in optimizers.items():
            started_at = time.perf_counter()
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                loss = module.training_step(batch, 0)
            loss.backward()
            passed_at = time.perf_counter()
            optimizer.step()
            optimizer.zero_grad()
            taken[name].append((passed_at - started_at, time.perf_counter() - passed_at))
    return {name: seconds[WARMUP_STEPS:] for name, seconds in taken.items()}


def shares(seconds: list[tuple[float, float]]) -> dict[str, float]:
    passes, optimizer = map(median, zip(*seconds, strict=True))
    share = optimizer / (passes + optimizer)
    return {"passes_seconds": passes, "optimizer_seconds": optimizer, "share": share}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    arguments = parser.parse_args()
    keys = {"accelerator": "cpu", "data_path": str(built_in("input.txt"))}
    config = load_config(ROOT / "configs" / "default.yaml", keys)
    config, data, _ = read_input(config, None)
    rows = []
    for num_threads in sorted({1, torch.get_num_threads()}):
        own = config.model_copy(update={"num_threads": num_threads})
        rows += measure(own, data, arguments.rounds)
        if rows[-1]["precision"] != FLOAT32:
            rows += measure(own.model_copy(update={"precision": FLOAT32}), data, arguments.rounds)
    shown = [row | {"share": f"{row['share']:.1%}"} for row in rows]
    print(tabulate(shown, "keys"))
    print(save("muon_share", rows))


if __name__ == "__main__":
    main()
