"""Estimates what a run needs: computes its memory and FLOPs, and measures its time."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import torch
from tabulate import tabulate

from transformer.config.keys import Config
from transformer.models import build_model
from transformer.models.base import SequenceModel
from transformer.models.growing import grown_tensors
from transformer.models.low_rank import AdapterSettings, adapt
from transformer.models.parts.attention import use_attention
from transformer.models.parts.layers import recompute_blocks
from transformer.run.footprint import Footprint, Step, on_several, step_flops, step_memory
from transformer.run.settling import settle
from transformer.run.starting import architecture_at_start, read_start
from transformer.system.devices import resolve_accelerator
from transformer.system.errors import UserError
from transformer.tasks.base import Data
from transformer.tasks.registry import task_of
from transformer.tasks.task_run import TaskRun
from transformer.training.estimates import process_bytes
from transformer.training.hardware import check_polar
from transformer.training.optimization.optimizers import make_optimizer
from transformer.training.settings import LossSettings, OptimizerSettings

_TABLE: dict[str, Any] = {"disable_numparse": True, "colalign": ("left", "right")}


def estimate(config: Config, data: Data, start_seconds: float) -> Iterator[str]:
    """Yields memory and FLOPs, also for devices that are not here; then the time measured here.

    `start_seconds` are those that imports and reading the data took.
    """
    config = _settled(config)
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
        f"{examples:,} examples per step\n{_memory_table(memory)}\n\n"
        f"{step_teraflops:.3g} TFLOP per step; a corpus pass of {corpus_tokens:,} tokens is "
        f"{token_flops * corpus_tokens / 1e12:.3g} TFLOP\n"
    )
    yield _time_here(config, data, num_devices, memory, start_seconds)


def _time_here(
    config: Config, data: Data, num_devices: int, memory: Footprint, start_seconds: float
) -> str:
    """The time of the run in words, or the reason why it was not measured."""
    from transformer.run import timing

    if num_devices > 1:
        return f"the time is not measured: the run has {num_devices} devices, and one is used here"
    try:
        device_type = resolve_accelerator(config.accelerator)
        needed = float(memory.total_bytes)
        needed = process_bytes(needed) if device_type == "cpu" else needed
        free = timing.free_memory(device_type)
        if needed > free:
            return (
                f"the time is not measured: the run needs {needed / 1e9:.3g} GB, and only "
                f"{free / 1e9:.3g} GB are free here"
            )
        return timing.time_here(config, data, start_seconds)
    except UserError as error:
        return f"the time is not measured: {error}"


def _memory_table(footprint: Footprint) -> str:
    sizes = footprint.bytes_by_part | {
        "total": footprint.total_bytes,
        "the process, on a CPU": process_bytes(float(footprint.total_bytes)),
    }
    rows = [(name, f"{size / 1e9:,.3f}") for name, size in sizes.items()]
    return tabulate(rows, ("memory per device", "GB"), **_TABLE)


def device_memory(config: Config, task: TaskRun, num_devices: int) -> Footprint:
    """The memory of a training step with the largest batch, on each of `num_devices`."""
    return on_several(step_memory(_step(config, task)), config.strategy, num_devices)


def _step(config: Config, task: TaskRun) -> Step:
    terms = asdict(config.group(LossSettings))
    optimizer = config.group(OptimizerSettings)
    bf16 = config.precision != "float32"
    of_muon = bf16 and config.precision != "fp16"
    return Step(
        lambda: task.module(_model(config, task), lr=config.lr, **terms),
        lambda module: make_optimizer(module, optimizer, bf16=of_muon),
        task.largest_shapes,
        bf16=bf16,
        on_cpu=_device_type(config) == "cpu",
    )


def _device_type(config: Config) -> str:
    """Like `resolve_accelerator`, but a device may be missing on this machine."""
    try:
        return resolve_accelerator(config.accelerator)
    except UserError:
        return config.accelerator


def _num_devices(config: Config) -> int:
    if config.devices != "auto":
        return config.devices * config.num_nodes
    found = torch.cuda.device_count() if _device_type(config) == "cuda" else 1
    return max(1, found) * config.num_nodes


def _settled(config: Config) -> Config:
    """As a run would have it; a device that is not on this machine is taken to multiply bf16."""
    try:
        return settle(config)
    except UserError:
        if config.optimizer == "muon":
            check_polar(config.polar, config.precision, _device_type(config))
        return config


def _model(config: Config, task: TaskRun) -> SequenceModel:
    architecture = config.architecture(**task.data.sizes)
    start = None if config.start_from is None else read_start(config.start_from)
    if start is not None:
        architecture = architecture_at_start(start, architecture)
    model = build_model(**architecture)
    if start is not None and config.lora_rank:
        trained = grown_tensors(architecture, start.architecture)
        adapt(model, config.group(AdapterSettings), trained)
    if config.attention != "auto":
        use_attention(model, config.attention)
    if config.activation_checkpointing:
        recompute_blocks(model)
    return model
