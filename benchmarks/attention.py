"""Measures which attention is faster on this CPU: the explicit formula or torch's fused kernel.

`python benchmarks/attention.py` times forward and backward passes of both in turn, without dropout
and with the same number of tokens, for several contexts, number formats and numbers of threads. The
medians go to attention.json. A run itself measures which one is faster for its own shape:
`transformer/training/choices.py`.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from record import save
from tabulate import tabulate

from transformer.models.parts.attention import attention, fused_attention
from transformer.system.cores import available_cores

CONTEXTS = (16, 32, 64, 128, 256, 512, 1024, 2048)
FORMATS = {"bf16": torch.bfloat16, "float32": torch.float32}
HEADS, HEAD_DIM = 6, 32  # of the shape that configs/default.yaml had before
BATCH_TOKENS = 2048
WARMUP_ROUNDS = 2


def timed_pass(attend: Callable[..., torch.Tensor], qkv: list[torch.Tensor]) -> float:
    """Seconds of a forward and a backward pass."""
    for tensor in qkv:
        tensor.grad = None
    started_at = time.perf_counter()
    attend(*qkv, causal=True).sum().backward()
    return time.perf_counter() - started_at


def measure(context: int, dtype: torch.dtype, rounds: int) -> dict[str, float]:
    """Median seconds of the explicit and of the fused attention."""
    shape = (max(1, BATCH_TOKENS // context), HEADS, context, HEAD_DIM)
    qkv = [torch.randn(shape).to(dtype).requires_grad_() for _ in range(3)]
    sides = {"explicit": attention, "fused": fused_attention}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(WARMUP_ROUNDS + rounds):
        for name, attend in sides.items():
            elapsed_seconds = timed_pass(attend, qkv)
            if number >= WARMUP_ROUNDS:
                seconds[name].append(elapsed_seconds)
    return {name: median(values) for name, values in seconds.items()}


def measure_all(rounds: int) -> list[dict[str, Any]]:
    torch.manual_seed(0)
    rows = []
    for num_threads in sorted({1, available_cores()}):
        torch.set_num_threads(num_threads)
        for name, dtype in FORMATS.items():
            for context in CONTEXTS:
                seconds = measure(context, dtype, rounds)
                rows.append({"threads": num_threads, "format": name, "context": context} | seconds)
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    header = ("threads", "format", "context", "explicit, ms", "fused, ms", "fused / explicit")
    cells = [
        (
            *(row["threads"], row["format"], row["context"]),
            *(f"{1000 * row[side]:.2f}" for side in ("explicit", "fused")),
            f"{row['fused'] / row['explicit']:.2f}",
        )
        for row in rows
    ]
    return tabulate(cells, header, tablefmt="pipe", disable_numparse=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rows = measure_all(parser.parse_args().rounds)
    shape = {"heads": HEADS, "head_dim": HEAD_DIM, "batch_tokens": BATCH_TOKENS}
    save("attention", {"shape": shape, "seconds": rows})
    print(table(rows))


if __name__ == "__main__":
    main()
