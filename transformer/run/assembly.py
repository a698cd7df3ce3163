"""A config's parts put together: data, module, trainer. The one place where they all meet."""

import logging
import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.profilers import PyTorchProfiler
from torch import Tensor

from transformer.checkpoint import read_architecture, save_weights
from transformer.config import Config
from transformer.config_files import to_yaml
from transformer.data.corpus import Corpus
from transformer.data.endless_datamodule import MOST_VALIDATION_TOKENS, EndlessDataModule
from transformer.data.pairs import Pairs
from transformer.devices import available_cores, resolve_accelerator
from transformer.errors import UserError
from transformer.models import SequenceModel, build_model
from transformer.models.layers import recompute_blocks, skipped_initialization
from transformer.processes import is_rank_0
from transformer.runs import WEIGHTS
from transformer.tasks.base import Task
from transformer.tasks.registry import make_task
from transformer.training.callbacks.agreement import Agreement
from transformer.training.callbacks.announcements import Announcements
from transformer.training.callbacks.checkpoints import RunCheckpointIO, RunCheckpoints
from transformer.training.callbacks.interruption import Interruption
from transformer.training.callbacks.progress_bar import RunProgressBar
from transformer.training.callbacks.random_state import RandomState
from transformer.training.callbacks.showing import ConfigText, Samples
from transformer.training.callbacks.stopping import LastStep, Patience, TimeLimit
from transformer.training.callbacks.throughput import Throughput
from transformer.training.estimates import automatic_val_every_steps
from transformer.training.hardware import has_compiler, resolve_compile, trainer_arguments
from transformer.training.lightning_module import LanguageModule
from transformer.training.loggers import RunLogger
from transformer.training.strategies import make_strategy, sharded

LOG_EVERY_STEPS = 10

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """The parts of a run but for its Trainer."""

    config: Config
    folder: Path
    task: Task
    module: LanguageModule
    throughput: Throughput
    total_steps: int
    num_devices: int = 1
    checkpoint_io: RunCheckpointIO = field(default_factory=RunCheckpointIO)

    @property
    def tokens_per_step(self) -> int:
        """Of all devices."""
        config = self.config
        return self.num_devices * config.accumulate_grad_batches * self.tokens_per_batch

    @property
    def tokens_per_batch(self) -> int:
        """Of one device."""
        return round(self.config.batch_size * self.task.tokens_per_example)

    @property
    def batch_words(self) -> str:
        """What the examples of a step are: of a batch, of all devices, of several batches."""
        config = self.config
        factors = [f"batch_size {config.batch_size}"]
        if self.num_devices > 1:
            factors.append(f"{self.num_devices} devices")
        if config.accumulate_grad_batches > 1:
            factors.append(f"{config.accumulate_grad_batches} batches")
        examples = config.batch_size * self.num_devices * config.accumulate_grad_batches
        return " x ".join(factors) + (f" = {examples:,} examples" if len(factors) > 1 else "")

    @property
    def forward_passes(self) -> int:
        """In which a training step reads each of its tokens."""
        return 2 if self.config.r_drop else 1

    @property
    def data(self) -> EndlessDataModule:
        return self.task.data


def choose_hardware(config: Config) -> dict[str, Any]:
    """Raises: UserError for a device that is not there."""
    keys = ("accelerator", "devices", "num_nodes", "strategy", "precision")
    return trainer_arguments(**{key: getattr(config, key) for key in keys})


def build_task(config: Config, corpus: Corpus | Pairs, num_processes: int = 1) -> Task:
    """With no more workers than cores, which so many processes share."""
    most = max(1, available_cores() // num_processes)
    if config.num_workers > most:
        each = " a device" * (num_processes > 1)
        log.info("num_workers: %d%s, one a core, instead of %d", most, each, config.num_workers)
    return make_task(config, corpus, min(config.num_workers, most))


def check_shares(config: Config, num_val_examples: int, num_devices: int) -> None:
    """Raises: UserError where a device would have nothing to validate; others would wait for it."""
    if num_val_examples < num_devices:
        raise UserError(
            f"{config.data_path}: {num_val_examples} chunks or pairs for validation on "
            f"{num_devices} devices: give a larger `val_fraction` or fewer `devices`"
        )


def count_steps(config: Config, num_examples: int, num_devices: int) -> int:
    """Optimizer steps of the run: `epochs` as steps, or max_steps where that is fewer."""
    examples_per_step = config.batch_size * config.accumulate_grad_batches * num_devices
    steps = -(-config.epochs * num_examples // examples_per_step)
    return min(steps, config.max_steps or steps)


def build_model_of(config: Config, architecture: Mapping[str, Any]) -> SequenceModel:
    """Draws the weights, and seeds all that is drawn after them."""
    pl.seed_everything(config.seed, verbose=False)
    others_weights = config.strategy == "fsdp" and not is_rank_0()  # which come from rank 0
    with skipped_initialization() if others_weights else nullcontext():
        model = build_model(**architecture)
    if config.activation_checkpointing:
        recompute_blocks(model)
    accelerator = resolve_accelerator(config.accelerator)
    if resolve_compile(config.compile, accelerator, config.strategy):
        if has_compiler(accelerator):
            model.compile()  # in place: no name of a weight changes
        else:
            log.info("compile: no compiler is found here, so the model runs as it is")
    return model


def build_module(
    config: Config, task: Task, total_steps: int, resume: Path | None = None
) -> LanguageModule:
    """What a config does not name of an architecture is as in the checkpoint `resume`."""
    architecture = config.architecture(**task.data.sizes)
    if resume is not None:
        architecture = read_architecture(resume) | architecture
    model = build_model_of(config, architecture)
    keys = (
        *("lr", "optimizer", "weight_decay", "momentum", "beta1", "beta2", "eps"),
        *(
            "grad_clip",
            "label_smoothing",
            "r_drop",
            "schedule",
            "warmup_steps",
            "decay_fraction",
            "final_lr_fraction",
        ),
    )
    settings = {key: getattr(config, key) for key in keys}
    metadata = {
        "tokenizer": task.data.tokenizer_state,
        "config": config.resolved(),
        "corpus": task.corpus_facts,
    }
    kind: Any = sharded(task.module) if config.strategy == "fsdp" else task.module
    return kind(model, **settings, total_steps=total_steps, metadata=metadata)


def build_trainer(
    run: Run,
    hardware: dict[str, Any],
    *,
    first_step: int = 0,
    profile: bool = False,
    callbacks: Sequence[pl.Callback] = (),
) -> pl.Trainer:
    """A resumed run stands at `first_step`, and what was logged after that is taken back.

    `callbacks` come before the run's own.
    `profile` writes a trace of a few steps into the run's folder, for Perfetto or Chrome.
    """
    config = run.config
    hardware = hardware | {"strategy": make_strategy(hardware["strategy"], run.num_devices)}
    profiler = None
    if profile and is_rank_0():
        profiler = PyTorchProfiler(str(run.folder), "trace", export_to_chrome=True)
    return pl.Trainer(
        **hardware,
        max_epochs=-1,
        max_steps=run.total_steps,
        accumulate_grad_batches=config.accumulate_grad_batches,
        val_check_interval=choose_val_every_steps(run) * config.accumulate_grad_batches,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        log_every_n_steps=LOG_EVERY_STEPS,
        logger=RunLogger(run.folder, purge_step=first_step + 1 if first_step else None),
        callbacks=[*callbacks, *build_callbacks(run)],
        plugins=[run.checkpoint_io],
        use_distributed_sampler=False,
        enable_model_summary=False,
        profiler=profiler,
    )


def choose_val_every_steps(run: Run) -> int:
    if run.config.val_every_steps != "auto":
        return int(run.config.val_every_steps)
    val_tokens = min(run.data.num_val_tokens, MOST_VALIDATION_TOKENS)
    return automatic_val_every_steps(
        run.total_steps,
        run.tokens_per_step * run.forward_passes,
        val_tokens + run.task.shown_tokens,
    )


def tokens_afterwards(run: Run) -> float:
    """How many tokens' training would pass as many through the model as what follows training.

    That is validation as in training, the exact score, and what is shown at both.
    """
    tokens = run.data.num_val_tokens + run.task.score_tokens + 2 * run.task.shown_tokens
    return tokens / run.forward_passes


def build_callbacks(run: Run) -> list[pl.Callback]:
    def save(step: int, val_loss: float, weights: Mapping[str, Tensor]) -> None:
        results = {"results": {"best_step": step, "val_loss": val_loss}}
        save_weights(run.folder / WEIGHTS, weights, run.module.metadata | results)

    agreement = Agreement()
    checkpoints = RunCheckpoints(
        run.folder,
        run.checkpoint_io,
        agreement,
        save,
        run.task.monitor,
        run.config.checkpoint_every_minutes,
    )
    limit = None
    if run.config.max_minutes is not None:
        limit = TimeLimit(
            run.config.max_minutes,
            run.throughput,
            agreement,
            tokens_afterwards(run),
            run.module.spend_time,
        )
    parts: list[pl.Callback] = [
        run.throughput,
        agreement,
        LastStep(),
        Samples(run.task.show),
        Announcements(lambda: limit.seconds_left if limit else math.inf),
        ConfigText(to_yaml(run.config.resolved())),
        RunProgressBar(),
        Interruption(checkpoints, agreement),
        RandomState(run.config.seed),
        checkpoints,
    ]
    if limit is not None:
        parts.append(limit)
    if run.config.patience is not None:
        parts.append(Patience(run.task.monitor, run.config.patience))
    return parts
