"""Trains a run again as it was, and compares the two bit for bit."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from transformer.config.keys import Config
from transformer.run.circumstances import circumstances
from transformer.run.comparison import curves, differences, largest_difference
from transformer.run.fit import saved_tokenizer
from transformer.run.old_text import with_old_text
from transformer.run.origin import Origin
from transformer.run.resuming import describe_other_data
from transformer.run.starting import read_start
from transformer.run.verification import InterruptAfter
from transformer.storage.adapter_file import hash_of_weights
from transformer.storage.model_file import read_corpus_facts
from transformer.storage.repeat_record import RECORD, Part, read_parts
from transformer.storage.run_folder import LAST
from transformer.storage.summaries import summed_up_step
from transformer.storage.training_state import read_training_state
from transformer.system.cores import available_cores
from transformer.system.devices import resolve_accelerator
from transformer.system.errors import UserError, in_one_line
from transformer.system.processes import is_rank_0
from transformer.system.terminal import tell
from transformer.tasks.registry import task_of
from transformer.training.callbacks.pace import Pace, RecordPace, pace_in
from transformer.training.callbacks.timed_validations import TimedValidations

log = logging.getLogger(__name__)


class InterruptIn(InterruptAfter):
    """Interrupts a run after a step (None: never), and knows the run's folder."""

    def __init__(self, step: int | None) -> None:
        super().__init__(-1 if step is None else step)
        self.folder: Path | None = None
        self.reached = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.folder = Path(str(trainer.log_dir))

    def after_batch(self, trainer: pl.Trainer, batch: Any) -> None:
        self.reached = trainer.global_step
        super().after_batch(trainer, batch)


def repeat(run: Path, config: Config, train: Callable[..., Path], origin: Origin) -> int:
    """Trains the run again into a new folder, up to its last checkpoint, and compares the two.

    `config` is the run's last one. Returns 0 if they are the same, bit for bit, else 1.

    Raises: UserError for other data or another model to start from, and for a damaged file.
    """
    state = read_training_state(run / LAST)
    parts = read_parts(run)
    check_data(run, config)
    check_start(run, config, parts)
    config = with_threads(config, parts)
    stages = stages_of(run, config, parts)
    last_step = int(state["global_step"])
    ended = summed_up_step(run) == last_step
    if is_rank_0():
        for line in notes(run, config, parts, last_step, ended=ended):
            tell(line)
    if was_limited(config, parts):
        ends = ended and config.max_minutes is not None
        origin = origin._replace(pace=pace_of(run, config, state, ends=ends))
    folder: Path | None = None
    for number, stage in enumerate(stages, 1):
        is_last = number == len(stages)
        stop = last_step if is_last else parts_after(parts)[number - 1].from_step
        never = is_last and ended
        folder = train_to(
            stage, folder, None if never else stop, partial(train, origin=origin, sum_up=is_last)
        )
    assert folder is not None
    return report(run, folder) if is_rank_0() else 0


def train_to(
    config: Config, folder: Path | None, stop: int | None, train: Callable[..., Path]
) -> Path:
    """Trains a new run, or goes on with the one in `folder`; `stop` is the step to interrupt."""
    end = InterruptIn(stop)
    try:
        return train(config, folder and folder / LAST, callbacks=[end])
    except SystemExit:
        if stop is None or end.reached != stop or end.folder is None:
            raise  # a signal from elsewhere
        return end.folder


def check_data(run: Path, config: Config) -> None:
    """Raises: UserError if the data is not what the run was trained on."""
    last = run / LAST
    recall = partial(saved_tokenizer, last)
    data: Any = task_of(config.model).read(config, build=True, recall=recall)
    facts = read_corpus_facts(last)
    if data.sha256 != facts.get("sha256"):
        raise UserError(
            f"{run}: {config.data_name} is not the data it was trained on: "
            f"{describe_other_data(config, data, facts)}: give the `data_path` it was trained on"
        )
    if config.start_from is not None:
        with_old_text(config, data, last)


def check_start(run: Path, config: Config, parts: Sequence[Part]) -> None:
    """Raises: UserError if the model that the run started from is gone or has other weights."""
    if config.start_from is None:
        return
    known = parts[0].start_from_sha256 if parts else None
    if known is not None and hash_of_weights(read_start(config.start_from)) != known:
        raise UserError(
            f"{run}: {config.start_from} has other weights than the model it started from: give "
            "that one as `start_from`"
        )


def with_threads(config: Config, parts: Sequence[Part]) -> Config:
    """With the number of threads of the run: on a CPU, it decides in which order sums are taken."""
    known = parts[-1].num_threads if parts else None
    alone = config.devices in (1, "auto") and config.num_nodes == 1
    if resolve_accelerator(config.accelerator) != "cpu" or not alone or known is None:
        return config
    return config.model_copy(update={"num_threads": known})


def parts_after(parts: Sequence[Part]) -> list[Part]:
    """The parts before which settings were changed."""
    return [part for part in parts if part.changed and part.from_step]


def stages_of(run: Path, config: Config, parts: Sequence[Part]) -> list[Config]:
    """The configs of a run that was resumed with other settings, in the order of its training.

    Raises: UserError for settings that cannot be, and for such a run on several devices.
    """
    stages = [config]
    for part in reversed(parts_after(parts)):
        before = {key: was for key, (was, _) in part.changed.items() if key in config.resolved()}
        try:
            stages.insert(0, Config.model_validate(stages[0].resolved() | before))
        except ValueError as error:
            reason = in_one_line(error)
            raise UserError(f"{run / RECORD}: damaged, its settings cannot be: {reason}") from None
    if len(stages) > 1 and (config.devices != 1 or config.num_nodes != 1):
        raise UserError(
            f"{run}: was resumed with other settings, and runs on several devices are repeated "
            "only if their settings stayed the same"
        )
    return stages


def was_limited(config: Config, parts: Sequence[Part]) -> bool:
    """Whether the run had a time limit, at its end or before it was resumed without one."""
    changed = any("max_minutes" in part.changed for part in parts_after(parts))
    return changed or config.max_minutes is not None


def pace_of(run: Path, config: Config, state: Mapping[str, Any], *, ends: bool) -> Pace:
    """What the clock decided in a run with a time limit.

    A run of an older version says nothing of it. The clock is then taken to have gone evenly.

    Raises: UserError if what it says is damaged.
    """
    try:
        found = state["callbacks"].get(RecordPace.__name__)
        if found and len(found["shares"]):
            return pace_in(found)._replace(ends=ends)
        tokens = state["callbacks"].get(TimedValidations.__name__, {}).get("num_tokens") or 2**62
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{run / LAST}: damaged: its clock is not readable ({error})") from None
    batches = int(state["global_step"]) * config.accumulate_grad_batches
    steps = [step for step, _ in curves(run, ("val_loss",))["val_loss"]]
    validations = [(step * config.accumulate_grad_batches, tokens) for step in steps]
    return Pace([number / batches for number in range(batches)], [0], validations, ends)


def notes(
    run: Path, config: Config, parts: Sequence[Part], last_step: int, *, ended: bool
) -> list[str]:
    """What is to be known before: what is done, and what differs here from what was there."""
    lines = [f"repeats {run}, {last_step:,} steps"]
    if not ended:
        lines.append(f"it was stopped before its end: repeated up to step {last_step:,}, its last")
    if not parts:
        lines.append(
            f"it has no {RECORD}, as a run of an older version: with which commit, versions, "
            "processor and threads it was trained is unknown"
        )
    for part in parts_after(parts):
        changes = ", ".join(f"{key} {was} -> {now}" for key, (was, now) in part.changed.items())
        lines.append(f"from step {part.from_step:,} on it had other settings: {changes}")
    if was_limited(config, parts) and not has_pace(run):
        lines.append(
            "it had a time limit, and its clock is not recorded: the learning rate is taken to "
            "have followed the steps, so expect a difference"
        )
    num_devices = config.devices if isinstance(config.devices, int) else 1
    return lines + differing(
        parts, circumstances(resolve_accelerator(config.accelerator), num_devices)
    )


def has_pace(run: Path) -> bool:
    found = read_training_state(run / LAST)["callbacks"].get(RecordPace.__name__)
    return bool(found) and len(found["shares"]) > 0


def differing(parts: Sequence[Part], here: Part) -> list[str]:
    """A line for each thing that is another one here than in the run, or in a part of it."""
    here = replace(here, num_threads=available_cores())
    lines = []
    for name, now in _named(here).items():
        there = list(dict.fromkeys(_named(part).get(name) or "unknown" for part in parts))
        if name == "threads":  # it trains with as many as there
            there = [number for number in there if int(number) > int(now)]
        if any(value != now for value in there):
            lines.append(f"{name}: {' and '.join(there)} there, {now} here")
        elif name == "commit" and now.endswith("+") and there:
            lines.append(f"commit: {now}, there and here with changes that are not recorded")
    return lines


def _named(part: Part) -> dict[str, str]:
    threads = "" if part.num_threads is None else str(part.num_threads)
    return {
        "commit": part.commit or "unknown",
        **part.versions,
        "processor": part.processor or "unknown",
        "devices": ", ".join(part.devices),
        "threads": threads,
    }


def report(run: Path, folder: Path) -> int:
    found = differences(run, folder)
    if not found:
        tell(f"the same, bit for bit: {run} and {folder}")
        return 0
    amounts = [
        f"{what} {_in_words(largest_difference(run, folder, what))}"
        for what in ("weights", "val_loss")
    ]
    tell(
        f"{run} and {folder} differ in {', '.join(found)}; the largest difference: "
        f"{', '.join(amounts)}"
    )
    return 1


def _in_words(difference: float) -> str:
    return "not comparable" if math.isinf(difference) else f"{difference:.3g}"
