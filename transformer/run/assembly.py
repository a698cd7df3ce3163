"""Builds the parts of a run from its config: the task with its data, the module, the Trainer."""

import logging
import math
import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.profilers import PyTorchProfiler

from transformer.config.keys import Config
from transformer.models import build_model
from transformer.models.base import SequenceModel
from transformer.models.parts.attention import use_attention
from transformer.models.parts.layers import recompute_blocks, skipped_initialization
from transformer.run.callbacks import build_callbacks
from transformer.run.compiling import compile_model
from transformer.run.parts import Run
from transformer.run.starting import architecture_at_start, begin, say_start, start_of
from transformer.storage.model_file import read_architecture
from transformer.system.cores import available_cores
from transformer.system.devices import resolve_accelerator
from transformer.system.errors import UserError
from transformer.system.lean_imports import leave_optimizers_alone
from transformer.system.processes import is_rank_0
from transformer.tasks.base import Data
from transformer.tasks.registry import task_of
from transformer.tasks.task_run import TaskRun
from transformer.training.adaptation import adapted
from transformer.training.estimates import ENDLESS_STEPS
from transformer.training.extra_loggers import extra_loggers
from transformer.training.hardware import (
    Hardware,
    has_compiler,
    resolve_compile,
    trainer_arguments,
)
from transformer.training.lightning_internals import NEVER, leave_signals_alone
from transformer.training.lightning_module import LanguageModule
from transformer.training.loggers import RunLogger
from transformer.training.settings import TrainingSettings
from transformer.training.strategies import make_strategy

LOG_EVERY_STEPS = 10

log = logging.getLogger(__name__)


def choose_hardware(config: Config) -> dict[str, Any]:
    """Needs a config that is settled."""
    return trainer_arguments(config.group(Hardware))


def build_task(config: Config, data: Data, num_processes: int = 1) -> TaskRun:
    """Limits `num_workers` to the cores, which `num_processes` processes share."""
    most = max(1, available_cores() // num_processes)
    if config.num_workers > most:
        each = " per device" * (num_processes > 1)
        log.info("num_workers: %d%s, one per core, instead of %d", most, each, config.num_workers)
    return task_of(config.model).start(config, data, min(config.num_workers, most))


def check_shares(config: Config, num_val_examples: int, num_devices: int) -> None:
    """Raises: UserError if a device would have no example to validate: others would wait for it."""
    if num_val_examples < num_devices:
        raise UserError(
            f"{config.data_name}: {num_val_examples} chunks or pairs for validation on "
            f"{num_devices} devices: give a larger `val_fraction` or fewer `devices`"
        )


def count_steps(config: Config, num_examples: int, num_devices: int) -> int:
    """The optimizer steps of the run: those of its `epochs`, or max_steps if that is fewer.

    Without either, only max_minutes ends the run, and the number is ENDLESS_STEPS.
    """
    examples_per_step = config.batch_size * config.accumulate_grad_batches * num_devices
    limits = [ENDLESS_STEPS]
    if config.epochs is not None:
        limits.append(-(-config.epochs * num_examples // examples_per_step))
    if config.max_steps is not None:
        limits.append(config.max_steps)
    return min(limits)


def build_model_of(
    config: Config,
    architecture: Mapping[str, Any],
    num_tokens: float = math.inf,
    *,
    replaced: bool = False,
) -> SequenceModel:
    """Seeds all random numbers of the run, and draws the weights from them.

    `num_tokens`, the tokens of the whole run, decides whether compiling is worth its time. Weights
    that are `replaced` afterwards are not drawn.
    """
    pl.seed_everything(config.seed, verbose=False)
    replaced |= config.strategy == "fsdp" and not is_rank_0()  # by the weights of rank 0
    with skipped_initialization() if replaced else nullcontext():
        model = build_model(**architecture)
    if config.attention != "auto":
        use_attention(model, config.attention)
    if config.activation_checkpointing:
        recompute_blocks(model)
    accelerator = resolve_accelerator(config.accelerator)
    # Kaplan et al. 2020 (arXiv:2001.08361), 2.1
    petaflop = 6 * model.num_parameters * num_tokens / 1e15
    if resolve_compile(config.compile, accelerator, config.strategy, petaflop):
        if has_compiler(accelerator):
            compile_model(model, config.cache_dir)
        else:
            log.info("compile: no compiler was found, so the model is not compiled")
    else:
        leave_optimizers_alone()
    return model


def records_steps(config: Config, hardware: Mapping[str, Any], *, shapes_vary: bool) -> bool:
    """Whether a step can be one CUDA graph: `transformer.training.step_graph.captured`."""
    one_gpu = hardware["accelerator"] == "cuda" and config.strategy == "auto"
    one_gpu = one_gpu and os.environ.get("CUDA_LAUNCH_BLOCKING", "0") == "0"
    one_gpu = one_gpu and hardware["devices"] * hardware["num_nodes"] == 1
    plain = config.accumulate_grad_batches == 1 and not config.activation_checkpointing
    return one_gpu and plain and config.precision != "fp16" and not shapes_vary


def build_module(
    config: Config,
    task: TaskRun,
    total_steps: int,
    resume: Path | None = None,
    *,
    recorded: bool = False,
) -> LanguageModule:
    """Takes settings of the architecture that the config lacks from the checkpoint `resume`.

    `recorded` makes each training step one CUDA graph.
    """
    architecture = config.architecture(**task.data.sizes)
    start = start_of(config, resume)
    if resume is not None:
        architecture = read_architecture(resume) | architecture
    elif start is not None:
        architecture = architecture_at_start(start, architecture)
    num_tokens = total_steps * config.batch_size * task.tokens_per_example if recorded else math.inf
    model = build_model_of(config, architecture, num_tokens, replaced=start is not None)
    adapter = None if start is None else begin(model, start, config)
    if start is not None and resume is None:
        say_start(model, start)
    settings = asdict(config.group(TrainingSettings))
    metadata = {
        "tokenizer": task.data.tokenizer_state,
        "config": config.resolved(),
        "corpus": task.corpus_facts,
    }
    kind: Any = adapted(task.module, adapter) if adapter else task.module
    if config.strategy == "fsdp":
        from transformer.training.sharding import sharded

        kind = sharded(kind)
    elif recorded:
        from transformer.training.step_graph import captured

        kind = captured(kind)
    return kind(model, **settings, total_steps=total_steps, metadata=metadata)


def build_trainer(
    run: Run,
    hardware: dict[str, Any],
    *,
    first_step: int = 0,
    profile: bool = False,
    callbacks: Sequence[pl.Callback] = (),
) -> pl.Trainer:
    """A resumed run starts after `first_step`; its loggers drop what was logged after this step.

    `callbacks` are called before the run's own.
    `profile` writes a trace of a few steps into the run's folder, for Perfetto or Chrome.
    """
    config = run.config
    hardware = hardware | {"strategy": make_strategy(hardware["strategy"], run.num_devices)}
    profiler = None
    if profile and is_rank_0():
        profiler = PyTorchProfiler(str(run.folder), "trace", export_to_chrome=True)
    trainer = pl.Trainer(
        **hardware,
        max_epochs=-1,
        max_steps=run.total_steps,
        accumulate_grad_batches=config.accumulate_grad_batches,
        val_check_interval=choose_val_every_steps(run) * config.accumulate_grad_batches,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        log_every_n_steps=LOG_EVERY_STEPS,
        logger=[
            RunLogger(run.folder, purge_step=first_step + 1 if first_step else None),
            *extra_loggers(config.logger, run.folder, first_step, config.resolved()),
        ],
        callbacks=[*callbacks, *build_callbacks(run)],
        plugins=[run.checkpoint_io],
        use_distributed_sampler=False,
        enable_model_summary=False,
        profiler=profiler,
    )
    leave_signals_alone(trainer)
    return trainer


def bare_trainer(hardware: Mapping[str, Any], max_steps: int, **others: Any) -> pl.Trainer:
    """A Trainer that logs, saves and shows nothing, and does not validate by itself."""
    return pl.Trainer(
        **{**hardware, "max_steps": max_steps, **others},
        max_epochs=-1,
        val_check_interval=NEVER,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )


def choose_val_every_steps(run: Run) -> int:
    """Steps between validations; also sets how many tokens of its split each one reads.

    It is NEVER where a callback starts them: FollowPace, or TimedValidations with max_minutes.
    """
    is_auto, is_limited = run.config.val_every_steps == "auto", run.config.max_minutes is not None
    if is_limited and (is_auto or run.pace is not None):
        return NEVER
    if not is_auto:
        return int(run.config.val_every_steps)
    plan = run.validation_plan
    run.data.look_at(plan.num_tokens)
    return plan.every_steps
