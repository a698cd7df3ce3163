"""Estimates how long a run takes here by timing a few steps; saves and logs nothing."""

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from transformer.config.keys import Config
from transformer.run import assembly
from transformer.run.compiling import repeatable
from transformer.run.parts import Run
from transformer.run.preparation import prepare
from transformer.special_ids import IGNORED
from transformer.system.devices import device_name
from transformer.system.lean_imports import without_compiling
from transformer.system.memory import memory_of_container
from transformer.system.terminal import quiet_libraries
from transformer.tasks.base import Data
from transformer.training.callbacks.after_batch import AfterBatch
from transformer.training.callbacks.announcements import duration
from transformer.training.estimates import END_SECONDS
from transformer.training.lightning_internals import NEVER, between_steps
from transformer.training.step_graph import WARMUP_STEPS, CapturedSteps
from transformer.training.strategies import make_strategy
from transformer.training.validations import VALIDATION_SHARE

# How many steps, and for how long, are timed. The first step may compile, and those before the
# recorded ones are slower, so they are left out.
MOST_STEPS, MOST_SECONDS = 30, 10.0
VALIDATION_BATCHES = 4
QUICK_SECONDS = 5.0


@dataclass(frozen=True)
class Times:
    step: float
    validated_token: float
    shown: float  # samples and pictures at a validation
    num_steps: int  # number of timed steps
    device: str


class StopWatch(AfterBatch):
    """Times steps and validation batches, the first of each left out, then stops the run."""

    def __init__(self, num_left_out: int = 1) -> None:
        self.num_left_out = num_left_out  # steps
        self.steps: list[float] = []  # end times
        self.batches: list[float] = []  # start of validation, then end times
        self.tokens: list[int] = []

    def after_batch(self, trainer: pl.Trainer, batch: Any) -> None:
        if not between_steps(trainer):
            return
        if trainer.global_step < self.num_left_out:
            return
        self.steps.append(now(trainer.strategy.root_device))
        long = self.steps[-1] - self.steps[0] >= MOST_SECONDS
        if long or len(self.steps) > MOST_STEPS:
            trainer.should_stop = True

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.batches.append(now(trainer.strategy.root_device))

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, *_: Any, **__: Any
    ) -> None:
        self.batches.append(now(trainer.strategy.root_device))
        self.tokens.append(int((batch[-1] != IGNORED).sum()))

    @property
    def step_seconds(self) -> float:
        return (self.steps[-1] - self.steps[0]) / (len(self.steps) - 1)

    @property
    def token_seconds(self) -> float:
        """Per validated token; the first batch counts only if it is the only one."""
        first = 1 if len(self.tokens) > 1 else 0
        return (self.batches[-1] - self.batches[first]) / sum(self.tokens[first:])


def now(device: torch.device) -> float:
    """The time once the device has finished its work."""
    if device.type in ("cuda", "mps"):
        getattr(torch, device.type).synchronize()
    return time.perf_counter()


def time_here(config: Config, data: Data, start_seconds: float) -> str:
    """Tells how long a step, a corpus pass and the whole run take on this machine.

    `start_seconds` are those that imports and reading the data took.

    Raises: UserError for a device that this machine does not have.
    """
    quiet_libraries()
    parts = prepare(config, data, try_compiling=False)
    run = parts.as_run(Path())
    every_steps = assembly.choose_val_every_steps(run)
    times = measure(run, parts.hardware)
    pass_seconds = times.step * run.data.num_train_tokens / run.tokens_per_step
    return (
        f"measured here ({times.device}), over {times.num_steps} steps: "
        f"{duration(times.step)} per step, {duration(pass_seconds)} per corpus pass\n"
        f"{whole_run(run, times, every_steps, start_seconds)}"
    )


def measure(run: Run, hardware: dict[str, Any]) -> Times:
    recorded = isinstance(run.module, CapturedSteps)
    watch = StopWatch(WARMUP_STEPS + 1 if recorded else 1)
    trainer = assembly.bare_trainer(
        hardware | {"strategy": make_strategy(hardware["strategy"], 1)},
        MOST_STEPS + 1 + watch.num_left_out,
        accumulate_grad_batches=run.config.accumulate_grad_batches,
        limit_val_batches=VALIDATION_BATCHES,
        callbacks=[watch],
    )
    with repeatable(run.config):
        trainer.fit(run.module, run.data)
    shown = shown_seconds(run)
    if shown < QUICK_SECONDS:  # the first call also imported modules
        shown = shown_seconds(run)
    device = device_name(trainer.strategy.root_device)
    return Times(watch.step_seconds, watch.token_seconds, shown, len(watch.steps) - 1, device)


def shown_seconds(run: Run) -> float:
    started_at = time.perf_counter()
    with without_compiling():
        run.task.show(run.module.whole_model())
    return time.perf_counter() - started_at


def whole_run(run: Run, times: Times, every_steps: int, start_seconds: float) -> str:
    """Adds up steps, validations, the exact score at the end, and the start of the process."""
    limit = (run.config.max_minutes or float("inf")) * 60
    validation = times.validated_token * run.data.looked_at_tokens + times.shown
    score = times.validated_token * run.task.score_tokens + times.shown
    score += start_seconds + END_SECONDS
    number = -(-run.total_steps // every_steps) if every_steps != NEVER else 0
    seconds = run.total_steps * times.step + number * validation + score
    if seconds > limit:
        share = 1 - VALIDATION_SHARE if every_steps == NEVER else 1.0
        own = times.step if every_steps == NEVER else times.step + validation / every_steps
        steps = max(1, int(share * max(limit - score, limit / 2) / own))
        return f"this run ends at max_minutes ({duration(limit)}), after about {steps:,} steps"
    noun = "validation" if number == 1 else "validations"
    return (
        f"this run takes about {duration(seconds)} here: {run.total_steps:,} steps"
        + f", {number:,} {noun} of {duration(validation)}" * bool(number)
        + ", plus start and end"
    )


def free_memory(device_type: str) -> float:
    """Free memory in bytes, of this machine, container or GPU; infinity if that is not known."""
    if device_type == "cuda":
        return float(torch.cuda.mem_get_info()[0])
    return min(_free_on_the_machine(), memory_of_container())


def _free_on_the_machine() -> float:
    with suppress(OSError, ValueError, IndexError):
        facts = Path("/proc/meminfo").read_text(encoding="utf-8")
        return 1024 * float(facts.partition("MemAvailable:")[2].split()[0])
    with suppress(AttributeError, OSError, ValueError):
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return float("inf")
