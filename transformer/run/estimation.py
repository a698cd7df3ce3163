"""What a config would take, before it is run: memory by part, arithmetic and time."""

import time
from typing import Any

import torch
from tabulate import tabulate

from transformer.config import Config
from transformer.data.corpus import Corpus
from transformer.data.pairs import Pairs
from transformer.devices import has_bf16, processor_name, resolve_accelerator
from transformer.errors import UserError
from transformer.models import SequenceModel, build_model
from transformer.models.layers import recompute_blocks
from transformer.tasks.base import Task
from transformer.tasks.registry import make_task
from transformer.training.callbacks.announcements import duration
from transformer.training.footprint import Footprint, Step, on_several, step_flops, step_memory
from transformer.training.optimizers import make_optimizer

UTILIZATION = 0.4
# Dense bfloat16 FLOPs a second by NVIDIA's data sheets.
CARDS = {"NVIDIA A100": 312e12, "NVIDIA H100": 989e12}
PRODUCT_SIZE = 1024
# Of a process on a CPU: what it takes without a model, and what the C library's allocator holds for
# each byte of a step's tensors, as it does not give back all that is free (benchmarks/memory.py).
PROGRAM_BYTES = 0.6e9
ALLOCATOR_FACTOR = 1.4
_TABLE: dict[str, Any] = {"disable_numparse": True, "colalign": ("left", "right")}


def estimate(config: Config, corpus: Corpus | Pairs) -> str:
    """A table of memory for each device, and of a corpus pass's time on some machines.

    The devices need not be there.
    """
    task = make_task(config, corpus, 0)
    num_devices = _num_devices(config)
    examples = config.batch_size * config.accumulate_grad_batches * num_devices
    num_tokens = sum(rows * columns for rows, columns in task.largest_shapes[:-1])
    token_flops = step_flops(_step(config, task)) / num_tokens
    step_teraflops = token_flops * examples * task.tokens_per_example / 1e12
    corpus_tokens = task.data.num_train_tokens
    measured = token_flops * corpus_tokens, num_devices, _in_half_precision(config)
    return "\n".join(
        (
            f"{num_devices} device{'s' * (num_devices > 1)}, strategy {config.strategy}; "
            f"{examples:,} examples a step",
            _memory_table(device_memory(config, task, num_devices)),
            f"\n{step_teraflops:.3g} TFLOP a step; a corpus pass of {corpus_tokens:,} "
            f"tokens, at {UTILIZATION:.0%} of what a device multiplies at most, takes",
            tabulate(_times(*measured), **_TABLE),
        )
    )


def _memory_table(footprint: Footprint) -> str:
    sizes = footprint.bytes_by_part | {
        "in all": footprint.total_bytes,
        "the process, where that is a CPU's": process_bytes(footprint),
    }
    rows = [(name, f"{size / 1e9:,.3f}") for name, size in sizes.items()]
    return tabulate(rows, ("memory of a device", "GB"), **_TABLE)


def device_memory(config: Config, task: Task, num_devices: int) -> Footprint:
    """Of a training step on each of so many devices, at its longest batch."""
    return on_several(step_memory(_step(config, task)), config.strategy, num_devices)


def process_bytes(footprint: Footprint) -> int:
    """Of a process on a CPU: benchmarks/memory.py."""
    return round(PROGRAM_BYTES + ALLOCATOR_FACTOR * footprint.total_bytes)


def _step(config: Config, task: Task) -> Step:
    keys = ("lr", "weight_decay", "beta1", "beta2", "eps", "momentum")
    settings: dict[str, Any] = {key: getattr(config, key) for key in keys}
    terms = {key: getattr(config, key) for key in ("label_smoothing", "r_drop")}
    return Step(
        lambda: task.module(_model(config, task), lr=config.lr, **terms),
        lambda module: make_optimizer(config.optimizer, module, **settings),
        task.largest_shapes,
        bf16=_in_half_precision(config),
        on_cpu=_device_type(config) == "cpu",
    )


def _device_type(config: Config) -> str:
    """One that is not here is taken at its word."""
    try:
        return resolve_accelerator(config.accelerator)
    except UserError:
        return config.accelerator


def _num_devices(config: Config) -> int:
    if config.devices != "auto":
        return config.devices * config.num_nodes
    found = torch.cuda.device_count() if _device_type(config) == "cuda" else 1
    return max(1, found) * config.num_nodes


def _in_half_precision(config: Config) -> bool:
    """A GPU that is not here is taken for one that multiplies bfloat16."""
    if config.precision != "auto":
        return config.precision != "float32"
    try:
        return has_bf16(resolve_accelerator(config.accelerator))
    except UserError:
        return True


def _model(config: Config, task: Task) -> SequenceModel:
    model = build_model(**config.architecture(**task.data.sizes))
    if config.activation_checkpointing:
        recompute_blocks(model)
    return model


def _times(flops: float, num_devices: int, bf16: bool) -> list[tuple[str, str]]:
    rates = {f"{num_devices} x {name} (bf16)": num_devices * rate for name, rate in CARDS.items()}
    rates |= {f"this machine's {processor_name()} alone, as measured now": product_rate(bf16)}
    return [(name, duration(flops / (UTILIZATION * rate))) for name, rate in rates.items()]


def product_rate(bf16: bool) -> float:
    """FLOPs a second of a large matrix product on this machine's CPU."""
    dtype = torch.bfloat16 if bf16 and has_bf16("cpu") else torch.float32
    matrix = torch.randn(PRODUCT_SIZE, PRODUCT_SIZE, dtype=dtype)
    seconds = []
    for _ in range(5):
        started_at = time.perf_counter()
        torch.mm(matrix, matrix)
        seconds.append(time.perf_counter() - started_at)
    return 2 * PRODUCT_SIZE**3 / min(seconds)
