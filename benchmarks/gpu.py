"""Measures training on one CUDA GPU: `python benchmarks/gpu.py --data_path FILE`.

First it trains configs/shakespeare-gpu.yaml as a user would, in a process of its own. Then it
compares the training speed of our GPT with Hugging Face's GPT-2, at the two shapes below (learned
positions, LayerNorm, GELU, biases, tied head, no dropout). They run one after the other in this
process. Both use bfloat16 autocast, torch.compile, fused AdamW, clipping, and tokens that are on
the GPU already. Times are medians of several stretches between CUDA events. Last, it lists the
kernels that take the time. Each part is written to gpu.json as soon as it is done;
`--parts` chooses some of them.

Model FLOPs utilization: tokens/s times FLOPs per token, divided by the GPU's peak. FLOPs per token,
forward and backward, are 6 N + 12 L C T: Chowdhery et al. 2022 (PaLM, arXiv:2204.02311), appendix
B. There are L blocks of width C (their H Q); T is the context. N counts all parameters except the
position embedding, which is only looked up; the tied token embedding counts once, as the head.
"""

import argparse
import gc
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import baseline
import torch
from record import ROOT, save
from torch import nn

from transformer.models import build_model
from transformer.storage.events import read_scalars
from transformer.system.errors import UserError
from transformer.system.terminal import run_script
from transformer.training.optimization.optimizers import make_optimizer
from transformer.training.settings import OptimizerSettings

CONFIG = ROOT / "configs" / "shakespeare-gpu.yaml"
TARGET = 1.4697  # nanoGPT's README: best validation loss of its character model on this text
# Dense bfloat16 FLOPs per second (NVIDIA's data sheets), by a part of the device's name; the first
# match counts.
PEAK_FLOPS = {
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "H200": 989e12,
    "A100": 312e12,
}
Shape = dict[str, int]
SIZES = ("vocab_size", "block_size", "embedding_dim", "num_heads", "num_blocks")
SHAPES: dict[str, Shape] = {
    "10.7 M": dict(zip(SIZES, (65, 256, 384, 6, 6), strict=True)),
    "124 M": dict(zip(SIZES, (50304, 1024, 768, 12, 12), strict=True)),
}
FIXED_BATCH = {"10.7 M": 64}  # as in CONFIG; other shapes fill the memory
LEAST_BATCH = 8
CLASSIC = {"positions": "learned", "norm": "layernorm", "activation": "gelu_tanh"}
SIDES = ("ours", "hugging_face")
STEPS, ROUNDS, WARMUP_STEPS = 10, 5, 5
PROFILED_STEPS, KERNELS_SHOWN = 5, 12


def flops_per_token(num_parameters: int, shape: Shape) -> int:
    """6 N + 12 L C T, forward and backward."""
    attention = shape["num_blocks"] * shape["embedding_dim"] * shape["block_size"]
    return 6 * num_parameters + 12 * attention


def peak_flops(device_name: str) -> float:
    """Raises: UserError for a GPU that is not in the table."""
    for name, peak in PEAK_FLOPS.items():
        if name in device_name:
            return peak
    raise UserError(f"peak of {device_name!r} is unknown: give --peak_flops, for example 312e12")


def make_model(side: str, shape: Shape) -> nn.Module:
    if side == "ours":
        return build_model("gpt", **shape, **CLASSIC)
    model = baseline.make_model(**shape)
    assert model.config._attn_implementation == "sdpa"
    return model


def make_step(
    side: str, shape: Shape, batch_size: int, device: str, *, compiled: bool
) -> tuple[Callable[[], None], int]:
    """Returns a function that makes one training step, and the model's N."""
    torch.manual_seed(0)
    model = make_model(side, shape).to(device)
    num_parameters = sum(p.numel() for p in model.parameters())
    num_parameters -= shape["block_size"] * shape["embedding_dim"]  # the position embedding
    if compiled:
        model.compile()
    settings = {"weight_decay": 0.1, "beta1": 0.9, "beta2": 0.95, "eps": 1e-8}
    optimizer = make_optimizer(model, OptimizerSettings(optimizer="adamw", lr=1e-4, **settings))
    size = (batch_size, shape["block_size"] + 1)
    chunks = torch.randint(shape["vocab_size"], size, device=device)
    inputs, targets = chunks[:, :-1].contiguous(), chunks[:, 1:].contiguous()

    def step() -> None:
        with torch.autocast(device, torch.bfloat16):
            output = model(inputs)
            logits = output if side == "ours" else output.logits
            loss = nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step, num_parameters


def seconds_of(step: Callable[[], None], device: str, steps: int) -> float:
    """Seconds per step, from CUDA events on a GPU and from the clock on a CPU."""
    if device == "cpu":
        started_at = time.perf_counter()
        for _ in range(steps):
            step()
        return (time.perf_counter() - started_at) / steps
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(steps):
        step()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / 1000 / steps


def release() -> None:
    """Frees the GPU memory of models that are no longer referenced."""
    torch.compiler.reset()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def measure(
    side: str, shape: Shape, batch_size: int, device: str, *, quick: bool = False
) -> dict[str, Any] | None:
    """Speed at one batch size, or None if memory runs out; `quick` does not compile."""
    release()
    try:
        step, num_parameters = make_step(side, shape, batch_size, device, compiled=not quick)
        for _ in range(WARMUP_STEPS):
            step()
        seconds = median(seconds_of(step, device, STEPS) for _ in range(1 if quick else ROUNDS))
    except torch.OutOfMemoryError:
        return None
    tokens_per_second = batch_size * shape["block_size"] / seconds
    return {
        "batch_size": batch_size,
        "tokens_per_second": tokens_per_second,
        "flops_per_second": tokens_per_second * flops_per_token(num_parameters, shape),
        "seconds_per_step": seconds,
        "num_parameters_counted": num_parameters,
        "peak_gigabytes": torch.cuda.max_memory_allocated() / 1e9 if device == "cuda" else None,
    }


def largest(attempt: Callable[[int], Any], first: int) -> tuple[int, Any]:
    """Doubles the size from `first` while `attempt` succeeds; returns the last size and result.

    Raises: UserError if the first attempt fails.
    """
    size, best = first, attempt(first)
    if not best:
        raise UserError(f"a batch of {first} does not fit on this GPU")
    while found := attempt(2 * size):
        size, best = 2 * size, found
    return size, best


def measure_filling(side: str, shape: Shape, device: str) -> dict[str, Any]:
    """Measures at the largest batch that fits.

    The search starts without compilation, which is quick and takes more memory. From the size that
    fits there, it goes on compiled.
    """
    size, _ = largest(lambda size: measure(side, shape, size, device, quick=True), LEAST_BATCH)
    return largest(lambda size: measure(side, shape, size, device), size)[1]


def measure_shape(name: str, device: str, peak: float) -> dict[str, Any]:
    """Tokens/s and utilization of both sides, their ratio, and a profile of ours."""
    shape, speeds = SHAPES[name], {}
    for side in SIDES:
        if name in FIXED_BATCH:
            speed = measure(side, shape, FIXED_BATCH[name], device)
            assert speed is not None  # needs about 5 GB
        else:
            speed = measure_filling(side, shape, device)
        speeds[side] = speed | {"model_flops_utilization": speed["flops_per_second"] / peak}
    ours, theirs = (speeds[side]["tokens_per_second"] for side in SIDES)
    spent = profile("ours", shape, speeds["ours"]["batch_size"], device)
    return {"shape": shape, **speeds, "ratio": ours / theirs, "profile": spent}


def profile(
    side: str, shape: Shape, batch_size: int, device: str, *, compiled: bool = True
) -> dict[str, Any]:
    """The share of time of each kernel (on a CPU: operator), largest first."""
    release()
    step, _ = make_step(side, shape, batch_size, device, compiled=compiled)
    for _ in range(WARMUP_STEPS):
        step()
    activities = [torch.profiler.ProfilerActivity.CPU]
    if device == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    seconds = seconds_of(step, device, PROFILED_STEPS)  # the profiler itself slows the host
    with torch.profiler.profile(activities=activities) as profiler:
        for _ in range(PROFILED_STEPS):
            step()
        if device == "cuda":
            torch.cuda.synchronize()
    microseconds = {}
    for event in profiler.key_averages():
        # Operators and annotations would count the time of their kernels twice.
        if event.device_type.name.lower() == device and not event.is_user_annotation:
            spent = event.self_cpu_time_total if device == "cpu" else event.self_device_time_total
            microseconds[event.key] = spent
    total = sum(microseconds.values())
    ranked = sorted(microseconds, key=microseconds.__getitem__, reverse=True)[:KERNELS_SHOWN]
    return {
        "busy_fraction": total / 1e6 / PROFILED_STEPS / seconds,
        "shares": {name[:90]: microseconds[name] / total for name in ranked},
    }


def train_recipe(data_path: Path) -> dict[str, Any]:
    """Runs one process of train.py, and reports its time and when it reached TARGET."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(ROOT / "train.py"), "--config", str(CONFIG)]
        command += ["--data_path", str(data_path), "--runs_dir", folder]
        started_at = time.perf_counter()
        status = subprocess.run(command, check=False).returncode
        if status:
            raise UserError(f"{CONFIG.name}: train.py ended with exit status {status}")
        process_seconds = time.perf_counter() - started_at
        (path,) = Path(folder).glob("*/*/summary.json")
        summary = json.loads(path.read_text(encoding="utf-8"))
        curve = validation_curve(path.parent)
    return {
        "config": CONFIG.relative_to(ROOT).as_posix(),
        **summary,
        "process_seconds": process_seconds,
        "target": TARGET,
        "training_seconds_to_target": seconds_to(TARGET, curve),
        "validations": curve,
    }


def validation_curve(run_folder: Path) -> list[dict[str, float]]:
    """For each validation: step, val_loss and the seconds since the run's first event.

    The first event comes before step 1. The time includes compilation, validation and samples.
    """
    return [
        {"step": point.step, "val_loss": point.value, "seconds": point.seconds}
        for point in read_scalars(run_folder, ["val_loss"])["val_loss"]
    ]


def seconds_to(target: float, curve: list[dict[str, float]]) -> float | None:
    """The seconds of the first validation at or below `target`; None if there is none."""
    return next((point["seconds"] for point in curve if point["val_loss"] <= target), None)


def main(argv: list[str] | None = None) -> int:
    parts = ["recipe", *SHAPES]
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--data_path", type=Path, required=True)
    parser.add_argument("--peak_flops", type=float, help="bfloat16, if the GPU is not in the table")
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    parser.add_argument("--name", default="gpu", help="name of the file in results/")
    arguments = parser.parse_args(argv)
    if not torch.cuda.is_available():
        raise UserError("gpu.py measures a CUDA GPU, and torch finds none on this machine")
    gpu = torch.cuda.get_device_name()
    peak = arguments.peak_flops or peak_flops(gpu)
    figures: dict[str, Any] = {"gpu": gpu, "cuda": torch.version.cuda, "peak_flops": peak}
    for part in arguments.parts:
        if part == "recipe":
            figures[part] = train_recipe(arguments.data_path)
        else:
            figures[part] = measure_shape(part, "cuda", peak)
        print(json.dumps({part: figures[part]}, indent=2), flush=True)
        save(arguments.name, figures, device=gpu)
    return 0


if __name__ == "__main__":
    run_script(main)
