"""Resuming a run: chooses its checkpoint, checks that it fits, and reports new settings."""

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformer.config.groups import DATA
from transformer.config.keys import Config
from transformer.config.run_files import BEFORE_THE_KEY
from transformer.data.record import describe_change
from transformer.data.sources.changes import describe_changed_files
from transformer.data.sources.encodings import read_as_text
from transformer.data.sources.paths import is_one_text
from transformer.data.text.settings import READING_KEYS
from transformer.storage.model_file import load_model
from transformer.storage.run_folder import run_of
from transformer.storage.summaries import summed_up_step
from transformer.storage.training_state import read_training_state
from transformer.system.errors import UserError
from transformer.system.files import read_bytes
from transformer.system.processes import is_rank_0
from transformer.system.terminal import say
from transformer.tasks.base import Data
from transformer.training.estimates import ENDLESS_STEPS

if TYPE_CHECKING:
    from transformer.training.callbacks.pace import Pace

# These decide the data, its order and the optimizer's state; another value makes another run.
KEPT_ON_RESUME = (
    *("val_fraction", "test_fraction", "tokenizer", "vocab_size", "min_frequency", "stride"),
    *("source_units", "target_units", "skip_bad_lines", "seed", "optimizer"),
    *("replay_fraction", "lora_rank", "lora_alpha", "base_precision"),
)
# Files for one split. They may have been moved, but a run has them to its end or never.
FILES_OF_A_SPLIT = ("val_path", "test_path")
# Keys of an architecture that no weight depends on.
CHANGED_ON_RESUME = ("dropout", "target_dropout")
# Where a run is stored; it may have been moved.
PLACES = ("runs_dir", "run_name")
# Each of these keys can end a run.
LIMITS = ("epochs", "max_steps", "max_minutes", "patience")
# The learning rate of a step depends on these keys.
SCHEDULE = (
    *("lr", "schedule", "warmup_steps", "decay_fraction", "final_lr_fraction"),
    *("epochs", "max_steps", "max_minutes"),
)

log = logging.getLogger(__name__)


def newest_whole(checkpoints: Sequence[Path]) -> Path:
    """The first checkpoint that is not damaged; reports the damaged ones before it.

    Only rank 0 builds the model, as a check.

    Raises: UserError if all are damaged, with the problem of the first.
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
    """The config that `resume` was saved with; empty on ranks above 0: rank 0 checks for all.

    Raises: UserError if the checkpoint is damaged, or if `config` has another corpus,
    architecture or run_name.
    """
    if not is_rank_0():
        return {}
    saved = load_model(resume)
    for key in FILES_OF_A_SPLIT:
        value, was = getattr(config, key), saved.config.get(key)
        if (value is None) != (was is None):
            raise _changed(resume, key, was, value)
    keys = config.resolved()
    defaults = {key: Config.model_fields[key].default for key in keys}  # of keys the file lacks
    defaults["test_fraction"] = DATA[config.family.data].auto_test_fraction(config.test_path)
    before = defaults | BEFORE_THE_KEY | saved.config
    for key in (key for key in READING_KEYS if key in keys):
        if keys[key] != before[key]:
            raise _changed(resume, key, before[key], keys[key])
    if saved.corpus.get("sha256") != data.sha256:
        raise UserError(
            f"{resume}: {config.data_name} is not the data it was trained on: "
            f"{describe_other_data(config, data, saved.corpus)}: "
            "give the `data_path` it was trained on, or start a new run without `resume`"
        )
    if config.run_name not in (None, saved.config.get("run_name")):
        raise UserError(
            f"{resume}: a run goes on in its own folder: leave out run_name={config.run_name}"
        )
    kept = [(key, keys[key], before.get(key)) for key in KEPT_ON_RESUME if key in keys]
    sizes = config.architecture(**data.tokenizer.sizes)
    built = before | saved.model.architecture  # older files lack settings
    for key, value, was in [*kept, *((key, sizes[key], built.get(key)) for key in sizes)]:
        if key not in CHANGED_ON_RESUME and was != value:
            raise _changed(resume, key, was, value)
    report_changes(before, keys)
    return before


def _changed(resume: Path, key: str, was: Any, value: Any) -> UserError:
    return UserError(
        f"{resume}: was trained with {key}={was}, not {value}: "
        "leave it as it was, or start a new run without `resume`"
    )


def describe_other_data(config: Config, data: Any, record: Mapping[str, Any]) -> str:
    """How the data differs from what is recorded, in words."""
    if "files" in record or not is_one_text(config.data_path):
        return describe_changed_files(record, data.facts)
    path = str(config.data_path)
    text = read_as_text(read_bytes(path, "file"), path, config.encoding, any_bytes=True).text
    return describe_change(text, record)


def report_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    changes = [
        f"{key} {before.get(key)} -> {value}"
        for key, value in after.items()
        if before.get(key) != value and key not in PLACES
    ]
    if changes:
        log.info("changed on resuming: %s", ", ".join(changes))


def changes_schedule(before: Mapping[str, Any], config: Config) -> bool:
    """Whether a run that was saved with the config `before` continues with another schedule."""
    return any(before[key] != getattr(config, key) for key in SCHEDULE if key in before)


def check_unfinished(
    resume: Path | None,
    total_steps: int,
    before: Mapping[str, Any],
    config: Config,
    pace: "Pace | None",
) -> int:
    """The number of steps that the run has done; 0 for a new one.

    With a `pace`, it goes by the clock of the run it repeats, which had time left.

    Raises: UserError if `resume` is damaged or no step is left. A run with a summary is finished
    unless its limits have changed since the config `before`.
    """
    if resume is None:
        return 0
    state = read_training_state(resume)
    for part in ("global_step", "loops", "optimizer_states", "lr_schedulers", "callbacks"):
        if part not in state:
            raise UserError(f"{resume}: damaged: it has no {part}")
    step = state["global_step"]
    if not isinstance(step, int):
        raise UserError(f"{resume}: damaged: its global_step is {step!r}")
    if pace is None:
        check_time_left(resume, state, before, config)
    limited = config.max_minutes is not None or config.patience is not None
    as_before = limited and all(before.get(key) == getattr(config, key) for key in LIMITS)
    finished = step == summed_up_step(run_of(resume)) and (step == total_steps or as_before)
    if step > total_steps or finished:
        longer = "`max_minutes` or `patience`" if step < total_steps else "`max_steps` or `epochs`"
        of = f" of {total_steps:,}" if total_steps < ENDLESS_STEPS else ""
        raise UserError(
            f"{resume}: stands at step {step:,}{of}, nothing is left to do: give a larger {longer}"
        )
    return step


def check_time_left(
    resume: Path, state: Mapping[str, Any], before: Mapping[str, Any], config: Config
) -> None:
    """Raises: UserError for a new max_minutes that the run has already used up.

    With an unchanged limit, a run that was killed near its end can still finish.
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
