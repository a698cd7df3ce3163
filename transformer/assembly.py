"""A config's parts put together: data, module, trainer. The one place where they all meet."""

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import EarlyStopping
from pytorch_lightning.profilers import PyTorchProfiler

from transformer.checkpoint import save_model
from transformer.config import Config
from transformer.config_files import to_yaml
from transformer.data.corpus import Corpus
from transformer.data.datamodule import MOST_VALIDATION_TOKENS, CharacterDataModule
from transformer.devices import available_cores, resolve_accelerator
from transformer.generation.text import TextGenerator
from transformer.models import build_model
from transformer.models.base import TokenModel
from transformer.runs import BEST, LAST, WEIGHTS
from transformer.training import callbacks
from transformer.training.checkpoints import AtomicCheckpointIO, RunCheckpoints
from transformer.training.estimates import automatic_val_every_steps
from transformer.training.hardware import has_compiler, resolve_compile, trainer_arguments
from transformer.training.interruption import Interruption
from transformer.training.lightning_module import LanguageModule
from transformer.training.loggers import RunLogger
from transformer.training.progress_bar import RunProgressBar

LOG_EVERY_STEPS = 10
SAMPLE_TOKENS = 300
SAMPLE_TEMPERATURE = 0.8
# A token that is decoded alone takes about as long as so many in a batch, at most.
TOKENS_OF_A_STEP = 100

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """The parts of a run but for its Trainer."""

    config: Config
    folder: Path
    data: CharacterDataModule
    module: LanguageModule
    throughput: callbacks.Throughput
    total_steps: int
    num_devices: int = 1

    @property
    def tokens_per_step(self) -> int:
        """Of all devices."""
        config = self.config
        return self.num_devices * config.accumulate_grad_batches * self.tokens_per_batch

    @property
    def tokens_per_batch(self) -> int:
        """Of one device."""
        return self.config.batch_size * self.config.block_size


def choose_hardware(config: Config) -> dict[str, Any]:
    """Raises: UserError for a device that is not there."""
    keys = ("accelerator", "devices", "num_nodes", "strategy", "precision")
    return trainer_arguments(**{key: getattr(config, key) for key in keys})


def build_data(config: Config, corpus: Corpus) -> CharacterDataModule:
    cores = available_cores()
    if config.num_workers > cores:
        log.info("num_workers: %d, one a core, instead of %d", cores, config.num_workers)
    return CharacterDataModule(
        config.data_path,
        block_size=config.block_size,
        batch_size=config.batch_size,
        stride=config.stride,
        val_fraction=config.val_fraction,
        num_workers=min(config.num_workers, cores),
        seed=config.seed,
        endless=True,
        corpus=corpus,
    )


def count_steps(config: Config, num_chunks: int, num_devices: int) -> int:
    """Optimizer steps of the run: `epochs` as steps, or max_steps where that is fewer."""
    chunks_per_step = config.batch_size * config.accumulate_grad_batches * num_devices
    steps = -(-config.epochs * num_chunks // chunks_per_step)
    return min(steps, config.max_steps or steps)


def build_module(config: Config, data: CharacterDataModule, total_steps: int) -> LanguageModule:
    model = build_model(**config.architecture(data.vocab_size))
    accelerator = resolve_accelerator(config.accelerator)
    if resolve_compile(config.compile, accelerator):
        if has_compiler(accelerator):
            model.compile()  # in place: no name of a weight changes
        else:
            log.info("compile: no compiler is found here, so the model runs as it is")
    keys = (
        *("lr", "optimizer", "weight_decay", "momentum", "beta1", "beta2", "eps"),
        *("grad_clip", "schedule", "warmup_steps", "decay_fraction", "final_lr_fraction"),
    )
    settings = {key: getattr(config, key) for key in keys}
    metadata = {
        "tokenizer": data.tokenizer_state,
        "config": config.resolved(),
        "corpus": {"sha256": data.corpus.sha256, "num_tokens": len(data.corpus.tokens)},
    }
    return LanguageModule(model, **settings, total_steps=total_steps, metadata=metadata)


def build_trainer(run: Run, hardware: dict[str, Any], *, profile: bool = False) -> pl.Trainer:
    """`profile` writes a trace of a few steps into the run's folder, for Perfetto or Chrome."""
    config = run.config
    profiler = PyTorchProfiler(str(run.folder), "trace", export_to_chrome=True) if profile else None
    return pl.Trainer(
        **hardware,
        max_epochs=-1,
        max_steps=run.total_steps,
        accumulate_grad_batches=config.accumulate_grad_batches,
        val_check_interval=choose_val_every_steps(run) * config.accumulate_grad_batches,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        log_every_n_steps=LOG_EVERY_STEPS,
        logger=RunLogger(run.folder),
        callbacks=build_callbacks(run),
        plugins=[AtomicCheckpointIO()],
        use_distributed_sampler=False,
        enable_model_summary=False,
        profiler=profiler,
    )


def choose_val_every_steps(run: Run) -> int:
    if run.config.val_every_steps != "auto":
        return int(run.config.val_every_steps)
    sample_tokens = SAMPLE_TOKENS * TOKENS_OF_A_STEP
    val_tokens = min(len(run.data.val_tokens), MOST_VALIDATION_TOKENS)
    return automatic_val_every_steps(
        run.total_steps, run.tokens_per_step, val_tokens + sample_tokens
    )


def tokens_afterwards(run: Run) -> int:
    """Tokens that go through the model after the last step.

    Validation as in training, the exact one in float32, which takes twice as long, and two samples.
    """
    return 3 * len(run.data.val_tokens) + 2 * SAMPLE_TOKENS * TOKENS_OF_A_STEP


def build_callbacks(run: Run) -> list[pl.Callback]:
    last, best = run.folder / LAST, run.folder / BEST

    def save_weights(step: int, val_loss: float) -> None:
        results = {"results": {"best_step": step, "val_loss": val_loss}}
        save_model(run.folder / WEIGHTS, run.module.model, run.module.metadata | results)

    limit = None
    if run.config.max_minutes is not None:
        limit = callbacks.TimeLimit(
            run.config.max_minutes, run.throughput, tokens_afterwards(run), run.module.spend_time
        )
    parts: list[pl.Callback] = [
        run.throughput,
        callbacks.LastStep(),
        callbacks.Announcements(lambda: limit.seconds_left if limit else math.inf),
        callbacks.ConfigText(to_yaml(run.config.resolved())),
        callbacks.Samples(lambda: sample_text(run, run.module.model)),
        RunProgressBar(),
        Interruption(last),
        RunCheckpoints(last, best, save_weights),
    ]
    if limit is not None:
        parts.append(limit)
    if run.config.patience is not None:
        parts.append(EarlyStopping("val_loss", patience=run.config.patience, mode="min"))
    return parts


def sample_text(run: Run, model: TokenModel) -> str:
    """Text that starts with the config's sample_prompt; characters the corpus lacks are dropped."""
    return TextGenerator(model, run.data.corpus.tokenizer).generate(
        run.config.sample_prompt,
        max_new_tokens=SAMPLE_TOKENS,
        temperature=SAMPLE_TEMPERATURE,
        seed=run.config.seed,
        skip_unknown=True,
    )[0]
