"""What a config would take: memory by part and arithmetic, computed, and time, measured."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import torch
from tabulate import tabulate

from transformer.config.keys import Config
from transformer.models import SequenceModel, build_model
from transformer.models.parts.layers import recompute_blocks
from transformer.run.footprint import Footprint, Step, on_several, step_flops, step_memory
from transformer.system.devices import has_bf16, resolve_accelerator
from transformer.system.errors import UserError
from transformer.tasks.base import Data
from transformer.tasks.registry import task_of
from transformer.tasks.task_run import TaskRun
from transformer.training.optimization.optimizers import make_optimizer
from transformer.training.settings import LossSettings, OptimizerSettings

# Of a process on a CPU: what it takes without a model, and what the C library's allocator holds for
# each byte of a step's tensors, as it does not give back all that is free (benchmarks/memory.py).
PROGRAM_BYTES = 0.6e9
ALLOCATOR_FACTOR = 1.4
_TABLE: dict[str, Any] = {"disable_numparse": True, "colalign": ("left", "right")}


def estimate(config: Config, data: Data) -> Iterator[str]:
    """Memory for each device, which need not be there; then the time that this run takes here."""
    task = task_of(config.model).start(config, data, 0)
    num_devices = _num_devices(config)
    examples = config.batch_size * config.accumulate_grad_batches * num_devices
    num_tokens = sum(rows * columns for rows, columns in task.largest_shapes[:-1])
    token_flops = step_flops(_step(config, task)) / num_tokens
    step_teraflops = token_flops * examples * task.tokens_per_example / 1e12
    memory = device_memory(config, task, num_devices)
    corpus_tokens = task.data.num_train_tokens
    yield (
        f"{num_devices} device{'s' * (num_devices > 1)}, strategy {config.strategy}; "
        f"{examples:,} examples a step\n{_memory_table(memory)}\n\n"
        f"{step_teraflops:.3g} TFLOP a step; a corpus pass of {corpus_tokens:,} tokens is "
        f"{token_flops * corpus_tokens / 1e12:.3g} TFLOP\n"
    )
    yield _time_here(config, data, num_devices, memory)


def _time_here(config: Config, data: Data, num_devices: int, memory: Footprint) -> str:
    """Or why it was not measured."""
    from transformer.run import timing

    if num_devices > 1:
        return f"how long it takes is not measured: the run has {num_devices} devices, this is one"
    try:
        device_type = resolve_accelerator(config.accelerator)
    except UserError as error:
        return f"how long it takes is not measured here: {error}"
    needed = process_bytes(memory) if device_type == "cpu" else memory.total_bytes
    free = timing.free_memory(device_type)
    if needed > free:
        return (
            f"how long it takes is not measured: it needs {needed / 1e9:.3g} GB, and "
            f"{free / 1e9:.3g} GB are free here"
        )
    try:
        return timing.time_here(config, data)
    except UserError as error:
        return f"how long it takes is not measured here: {error}"


def _memory_table(footprint: Footprint) -> str:
    sizes = footprint.bytes_by_part | {
        "in all": footprint.total_bytes,
        "the process, where that is a CPU's": process_bytes(footprint),
    }
    rows = [(name, f"{size / 1e9:,.3f}") for name, size in sizes.items()]
    return tabulate(rows, ("memory of a device", "GB"), **_TABLE)


def device_memory(config: Config, task: TaskRun, num_devices: int) -> Footprint:
    """Of a training step on each of so many devices, at its longest batch."""
    return on_several(step_memory(_step(config, task)), config.strategy, num_devices)


def process_bytes(footprint: Footprint) -> int:
    """Of a process on a CPU: benchmarks/memory.py."""
    return round(PROGRAM_BYTES + ALLOCATOR_FACTOR * footprint.total_bytes)


def _step(config: Config, task: TaskRun) -> Step:
    terms = asdict(config.group(LossSettings))
    optimizer = config.group(OptimizerSettings)
    return Step(
        lambda: task.module(_model(config, task), lr=config.lr, **terms),
        lambda module: make_optimizer(module, optimizer),
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


def _model(config: Config, task: TaskRun) -> SequenceModel:
    model = build_model(**config.architecture(**task.data.sizes))
    if config.activation_checkpointing:
        recompute_blocks(model)
    return model
