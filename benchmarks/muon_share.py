"""Which share of a training step is Muon's: `python benchmarks/muon_share.py`

A step of configs/default.yaml in float32, with Newton-Schulz products and with Zolotarev's function
in turn, on one thread and on all. Medians of wall times; other programs should rest. Muon's part is
that of the whole optimizer, with AdamW for embeddings and head. Written to muon_share.json.
"""

import argparse
import time
from dataclasses import replace
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from record import ROOT, save
from tabulate import tabulate

from transformer.config.files import load_config
from transformer.models import build_model
from transformer.training.optimization.optimizers import make_optimizer
from transformer.training.optimization.polar import POLARS
from transformer.training.settings import OptimizerSettings

VOCAB_SIZE = 64  # of data/input.txt
WARMUP_STEPS = 3


def measure(num_threads: int, rounds: int) -> dict[str, Any]:
    """Seconds of the passes and of the optimizer, by the way in which Muon computes."""
    torch.set_num_threads(num_threads)
    torch.manual_seed(0)
    config = load_config(ROOT / "configs" / "default.yaml")
    model = build_model(**config.architecture(VOCAB_SIZE)).train()
    optimizers = {
        name: make_optimizer(model, replace(config.group(OptimizerSettings), polar=name))
        for name in POLARS
    }
    tokens = torch.randint(VOCAB_SIZE, (config.batch_size, config.block_size + 1))
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in optimizers}
    for _ in range(WARMUP_STEPS + rounds):
        for name, optimizer in optimizers.items():
            started_at = time.perf_counter()
            optimizer.zero_grad()
            logits = model(tokens[:, :-1])
            F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten()).backward()
            passed_at = time.perf_counter()
            optimizer.step()
            taken[name].append((passed_at - started_at, time.perf_counter() - passed_at))
    return {name: shares(seconds[WARMUP_STEPS:]) for name, seconds in taken.items()}


def shares(seconds: list[tuple[float, float]]) -> dict[str, float]:
    passes, optimizer = map(median, zip(*seconds, strict=True))
    share = optimizer / (passes + optimizer)
    return {"passes_seconds": passes, "optimizer_seconds": optimizer, "share": share}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    arguments = parser.parse_args()
    numbers = sorted({1, torch.get_num_threads()})
    figures = {str(number): measure(number, arguments.rounds) for number in numbers}
    rows = [
        (number, name, row["passes_seconds"], row["optimizer_seconds"], f"{row['share']:.1%}")
        for number, ways in figures.items()
        for name, row in ways.items()
    ]
    print(tabulate(rows, ("threads", "polar", "passes, s", "optimizer, s", "share")))
    print(save("muon_share", figures))


if __name__ == "__main__":
    main()
