"""Going on with a run: from which checkpoint, whether it fits, and what is changed by it."""

import json
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformer.config.keys import Config
from transformer.data.record import describe_change
from transformer.storage.model_file import load_model
from transformer.storage.run_folder import SUMMARY, run_of
from transformer.storage.training_state import read_training_state
from transformer.system.errors import UserError
from transformer.system.files import read_text
from transformer.system.processes import is_rank_0
from transformer.system.terminal import say
from transformer.tasks.base import Data
from transformer.training.estimates import ENDLESS_STEPS

# Which data is trained on in which order, and whose moments are kept: another value would make it
# another run.
KEPT_ON_RESUME = (
    *("val_fraction", "test_fraction", "stride", "source_units", "target_units", "seed"),
    *("skip_bad_lines", "optimizer"),
)
# What an architecture names and no weight depends on.
CHANGED_ON_RESUME = ("dropout", "target_dropout")
# Where a run is, which may have been moved.
PLACES = ("runs_dir", "run_name")
# What ends a run.
LIMITS = ("epochs", "max_steps", "max_minutes", "patience")
# What the learning rate of a step depends on.
SCHEDULE = (
    *("lr", "schedule", "warmup_steps", "decay_fraction", "final_lr_fraction"),
    *("epochs", "max_steps", "max_minutes"),
)

log = logging.getLogger(__name__)


def newest_whole(checkpoints: Sequence[Path]) -> Path:
    """The first that is not damaged; says which were. Rank 0 alone builds the model.

    Raises: UserError where all of them are, with what is wrong with the first.
    """
    problems = []
    for path in checkpoints:
        try:
            load_model(path) if is_rank_0() else read_training_state(path)
        except UserError as error:
            problems.append(error)
        else:
            for problem in problems if is_rank_0() else ():
                say(f"{problem}; going on from the one before it, {path}")
            return path
    raise problems[0]


def check_resume(resume: Path, config: Config, data: Data) -> dict[str, Any]:
    """The config that it was saved with; nothing on ranks above 0, for which rank 0 checks.

    Raises: UserError for a checkpoint that is damaged, of another corpus or architecture.
    """
    if not is_rank_0():
        return {}
    saved = load_model(resume)
    if saved.corpus.get("sha256") != data.sha256:
        path = config.data_path
        raise UserError(
            f"{resume}: {path} is not what it was trained on: "
            f"{describe_change(read_text(path, 'file').text, saved.corpus)}: "
            "give the `data_path` it was trained on, or start a new run without `resume`"
        )
    if config.run_name not in (None, saved.config.get("run_name")):
        raise UserError(
            f"{resume}: a run goes on in its own folder: leave out run_name={config.run_name}"
        )
    keys = config.resolved()
    wanted = config.architecture(**data.tokenizer.sizes)
    wanted |= {key: keys[key] for key in KEPT_ON_RESUME if key in keys}
    before = saved.config | saved.architecture
    for key, value in wanted.items():
        if key not in CHANGED_ON_RESUME and before.get(key) != value:
            raise UserError(
                f"{resume}: was trained with {key}={before.get(key)}, not {value}: "
                "leave it as it was, or start a new run without `resume`"
            )
    report_changes(saved.config, keys)
    return saved.config


def report_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    changes = [
        f"{key} {before.get(key)} -> {value}"
        for key, value in after.items()
        if before.get(key) != value and key not in PLACES
    ]
    if changes:
        log.info("changed on resuming: %s", ", ".join(changes))


def changes_schedule(before: Mapping[str, Any], config: Config) -> bool:
    """Whether a run that was saved with `before` goes on with other settings of its schedule."""
    return any(before[key] != getattr(config, key) for key in SCHEDULE if key in before)


def check_unfinished(
    resume: Path, total_steps: int, before: Mapping[str, Any], config: Config
) -> int:
    """The step that the run stands at.

    Raises: UserError for a run that was summed up and whose limits are what they were `before`.
    """
    state = read_training_state(resume)
    for part in ("global_step", "loops", "optimizer_states", "lr_schedulers", "callbacks"):
        if part not in state:
            raise UserError(f"{resume}: damaged: it has no {part}")
    step = state["global_step"]
    if not isinstance(step, int):
        raise UserError(f"{resume}: damaged: its global_step is {step!r}")
    check_time_left(resume, state, before, config)
    limited = config.max_minutes is not None or config.patience is not None
    as_before = limited and all(before.get(key) == getattr(config, key) for key in LIMITS)
    finished = step == summed_up_step(run_of(resume)) and (step == total_steps or as_before)
    if step > total_steps or finished:
        longer = "`max_steps` or `epochs`"
        if step < total_steps:
            longer = "`max_minutes` or `patience`"
        of = f" of {total_steps:,}" if total_steps < ENDLESS_STEPS else ""
        raise UserError(
            f"{resume}: stands at step {step:,}{of}, nothing is left to do: give a larger {longer}"
        )
    return step


def check_time_left(
    resume: Path, state: Mapping[str, Any], before: Mapping[str, Any], config: Config
) -> None:
    """Raises: UserError for a new max_minutes that the run has spent already.

    With the limit that it was saved with, a run that was killed at its end still ends.
    """
    if config.max_minutes is None or not before or before.get("max_minutes") == config.max_minutes:
        return
    spent = state["callbacks"].get("Throughput", {}).get("elapsed_seconds", 0.0) / 60
    smaller = (before.get("max_minutes") or math.inf) > config.max_minutes
    finished = state["global_step"] == summed_up_step(run_of(resume))
    if spent >= config.max_minutes or (finished and smaller and before.get("max_minutes")):
        raise UserError(
            f"{resume}: has trained for {spent:.3g} minutes, over all resumes, and max_minutes is "
            f"{config.max_minutes:g}: nothing is left to do: give a larger `max_minutes`"
        )


def summed_up_step(run: Path) -> int | None:
    """Where a run stood when its summary was written."""
    try:
        return json.loads((run / SUMMARY).read_text(encoding="utf-8"))["step"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
