"""A proof on the user's own machine that a run that was stopped and resumed is the same run."""

import contextlib
import io
import logging
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from transformer.config.keys import Config
from transformer.storage.model_file import load_model
from transformer.storage.run_folder import LAST, WEIGHTS
from transformer.storage.training_state import read_training_state
from transformer.system.devices import resolve_accelerator
from transformer.training.callbacks.after_batch import AfterBatch

STEPS, STOP_AFTER = 20, 13  # the latter neither logs nor validates
TRIAL_STEPS = 2
LONG_SECONDS = 60
# Sums on a GPU may come out in another order.
ON_ANY_DEVICE = ("random numbers", "data", "step")
CURVES = ("train_loss", "grad_norm", "lr", "val_loss")

log = logging.getLogger(__name__)


class StepTimes(AfterBatch):
    """When each step of a run had been taken."""

    def __init__(self) -> None:
        self.after: dict[int, float] = {}

    def after_batch(self, trainer: pl.Trainer, batch: Any) -> None:
        self.after.setdefault(trainer.global_step, time.monotonic())


class InterruptAfter(AfterBatch):
    """Ctrl+C after a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def after_batch(self, trainer: pl.Trainer, batch: Any) -> None:
        if trainer.global_step == self.step:
            signal.raise_signal(signal.SIGINT)


def verify_resume(config: Config, train: Callable[..., Path]) -> int:
    """Says whether a resumed run is bit-identical to one that was never stopped; 1 if not, or 0."""
    different = differences_of_resuming(config, train)
    what = f"{STEPS} steps at once, and {STOP_AFTER}, an interruption and the others"
    if different:
        log.error("%s differ in %s", what, ", ".join(different))
        return 1
    alike = "give bit-identical weights, moments, random numbers, data and curves"
    log.info("%s %s%s", what, alike, "" if config.devices == 1 else "; on one device")
    return 0


def differences_of_resuming(config: Config, train: Callable[..., Path]) -> list[str]:
    """Trains, interrupts, resumes and compares: the names of what is not bit-identical.

    `train(config, resume, callbacks=..., sum_up=...)` trains in this process and gives the run's
    folder. A few steps on one device, in a temporary folder; the config is otherwise as it is, but
    for time limits.
    """
    with tempfile.TemporaryDirectory() as home:

        def run(name: str, steps: int = STEPS, **more: Any) -> Path:
            changes = {
                **{"runs_dir": home, "run_name": name, "max_steps": steps, "epochs": 10**6},
                **{"max_minutes": None, "patience": None, "devices": 1, "num_nodes": 1},
                "strategy": "auto",
                "val_every_steps": STEPS // 2,
            }
            with _quiet():
                return train(config.model_copy(update=changes), sum_up=False, **more)

        times = StepTimes()
        started_at = time.monotonic()
        run("trial", TRIAL_STEPS, callbacks=[times])
        a_run = time.monotonic() - started_at
        a_step = times.after[TRIAL_STEPS] - times.after[TRIAL_STEPS - 1]
        estimate = 3 * a_run + 2 * STEPS * a_step
        if estimate > LONG_SECONDS:
            log.info("this takes about %.0f minutes more", max(1, estimate / 60))
        undisturbed = run("undisturbed")
        with contextlib.suppress(SystemExit):
            run("resumed", callbacks=[InterruptAfter(STOP_AFTER)])
        resumed = Path(home, "resumed", "version_0")
        run("resumed", resume=resumed / LAST)
        found = differences(undisturbed, resumed)
        if resolve_accelerator(config.accelerator) == "cpu":
            return found
        return [name for name in found if name in ON_ANY_DEVICE]


def differences(one: Path, other: Path) -> list[str]:
    """Names of what differs between two runs' checkpoints and curves, times left out."""
    states = [_state(run) for run in (one, other)]
    names = [name for name in states[0] if not equal(states[0][name], states[1].get(name))]
    both = [curves(run) for run in (one, other)]
    return names + [name for name in CURVES if both[0][name] != both[1][name]]


def equal(one: Any, other: Any) -> bool:
    """Tensors bit for bit, and all that holds them."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return torch.equal(one, other)
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return set(one) == set(other) and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, Sequence) and isinstance(other, Sequence) and not isinstance(one, str):
        return len(one) == len(other) and all(map(equal, one, other))
    return type(one) is type(other) and one == other


def _state(run: Path) -> dict[str, Any]:
    content = read_training_state(run / LAST)
    parts = {
        "weights": content["state_dict"],
        "optimizer": content["optimizer_states"],
        "learning rate": content["lr_schedulers"],
        "random numbers": content["callbacks"]["RandomState"],
    }
    data = {
        name: part["examples_consumed"]
        for name, part in content.items()
        if isinstance(part, dict) and "examples_consumed" in part
    }
    best = load_model(run / WEIGHTS).model.state_dict()
    return parts | {"best weights": best, "data": data, "step": content["global_step"]}


def curves(run: Path, names: Sequence[str] = CURVES) -> dict[str, list[tuple[int, float]]]:
    """Steps and values that a run has logged."""
    # It says what it leaves out, which is what was logged after the checkpoint.
    logging.getLogger("tensorboard").setLevel(logging.ERROR)
    events = EventAccumulator(str(run), size_guidance={"scalars": 0})
    events.Reload()
    return {name: [(e.step, e.value) for e in events.Scalars(name)] for name in names}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What a run says of itself stays unsaid."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        root.setLevel(before)
