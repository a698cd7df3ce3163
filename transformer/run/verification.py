"""Checks on this machine that a resumed run equals a run that was never stopped."""

import contextlib
import logging
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from transformer.config.keys import Config
from transformer.run.comparison import differences
from transformer.run.settling import settle
from transformer.storage.run_folder import LAST
from transformer.system.devices import resolve_accelerator
from transformer.system.terminal import quietly
from transformer.training.callbacks.after_batch import AfterBatch

STEPS, STOP_AFTER = 20, 13  # after step 13, a run neither logs nor validates
TRIAL_STEPS = 2
LONG_SECONDS = 60
# A GPU may add numbers in another order, so only these must be equal on any device.
ON_ANY_DEVICE = ("random numbers", "data", "step")

log = logging.getLogger(__name__)


class StepTimes(AfterBatch):
    def __init__(self) -> None:
        self.after: dict[int, float] = {}

    def after_batch(self, trainer: pl.Trainer, batch: Any) -> None:
        self.after.setdefault(trainer.global_step, time.monotonic())


class InterruptAfter(AfterBatch):
    def __init__(self, step: int) -> None:
        self.step = step

    def after_batch(self, trainer: pl.Trainer, batch: Any) -> None:
        if trainer.global_step == self.step:
            signal.raise_signal(signal.SIGINT)


def verify_resume(config: Config, train: Callable[..., Path]) -> int:
    """Reports whether a resumed run equals one that was never stopped; returns 0 if so, else 1."""
    different = differences_of_resuming(config, train)
    what = f"{STEPS} steps, and {STOP_AFTER} steps, an interruption and {STEPS - STOP_AFTER} more,"
    if different:
        log.error("%s differ in %s", what, ", ".join(different))
        return 1
    alike = "give bit-identical weights, moments, random numbers, data and curves"
    log.info("%s %s%s", what, alike, "" if config.devices == 1 else "; on one device")
    return 0


def differences_of_resuming(config: Config, train: Callable[..., Path]) -> list[str]:
    """Trains, interrupts, resumes and compares; returns the names of the parts that differ.

    `train(config, resume, callbacks=..., sum_up=...)` trains in this process and returns the run's
    folder. The runs take a few steps on one device, in a temporary folder, without time limits.
    """
    config = settle(config)  # once, for all of them
    with tempfile.TemporaryDirectory() as home:

        def run(name: str, steps: int = STEPS, **more: Any) -> Path:
            changes = {
                **{"runs_dir": home, "run_name": name, "max_steps": steps, "epochs": 10**6},
                **{"max_minutes": None, "patience": None, "devices": 1, "num_nodes": 1},
                "strategy": "auto",
                "val_every_steps": STEPS // 2,
            }
            with quietly():
                return train(config.model_copy(update=changes), sum_up=False, **more)

        times = StepTimes()
        started_at = time.monotonic()
        run("trial", TRIAL_STEPS, callbacks=[times])
        run_seconds = time.monotonic() - started_at
        step_seconds = times.after[TRIAL_STEPS] - times.after[TRIAL_STEPS - 1]
        estimate = 3 * run_seconds + 2 * STEPS * step_seconds
        if estimate > LONG_SECONDS:
            log.info("this takes about %.0f more minutes", max(1, estimate / 60))
        undisturbed = run("undisturbed")
        with contextlib.suppress(SystemExit):
            run("resumed", callbacks=[InterruptAfter(STOP_AFTER)])
        resumed = Path(home, "resumed", "version_0")
        run("resumed", resume=resumed / LAST)
        found = differences(undisturbed, resumed)
        if resolve_accelerator(config.accelerator) == "cpu":
            return found
        return [name for name in found if name in ON_ANY_DEVICE]
