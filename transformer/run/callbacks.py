"""Builds the callbacks of a run, in the order in which Lightning calls them."""

import logging
import math
from collections.abc import Callable, Mapping
from functools import partial

import pytorch_lightning as pl
from torch import Tensor

from transformer.config.files import to_yaml
from transformer.run.coach import Finished, advice
from transformer.run.parts import Run
from transformer.run.settling import CHOSEN
from transformer.storage.model_file import save_weights
from transformer.storage.run_folder import CONFIG, WEIGHTS
from transformer.system.shell import flag, quoted
from transformer.training.callbacks.agreement import Agreement
from transformer.training.callbacks.announcements import Announcements
from transformer.training.callbacks.checkpoints import RunCheckpoints
from transformer.training.callbacks.interruption import Interruption
from transformer.training.callbacks.old_text import OLD_VAL_LOSS, OldText
from transformer.training.callbacks.pace import FollowPace, RecordPace
from transformer.training.callbacks.progress_bar import RunProgressBar
from transformer.training.callbacks.random_state import RandomState
from transformer.training.callbacks.showing import Advising, Introduction, Samples
from transformer.training.callbacks.snapshots import Snapshots
from transformer.training.callbacks.stopping import LastStep, Patience, TimeLimit, WholeSteps
from transformer.training.callbacks.timed_validations import TimedValidations
from transformer.training.estimates import ENDLESS_STEPS

log = logging.getLogger(__name__)


def tokens_afterwards(run: Run) -> float:
    """The forward passes that follow the last step, as a number of training tokens.

    They are one validation, the exact score, and the samples that are shown at both.
    """
    tokens = run.data.looked_at_tokens + run.task.score_tokens + 2 * run.task.shown_tokens
    return tokens / run.forward_passes


def make_time_limit(
    run: Run, agreement: Agreement, spend: Callable[[float], None]
) -> TimeLimit | None:
    if run.config.max_minutes is None or run.pace is not None:
        return None
    return TimeLimit(
        run.config.max_minutes,
        run.throughput,
        agreement,
        lambda: tokens_afterwards(run),
        spend,
    )


def make_timed_validations(
    run: Run, limit: TimeLimit | None, agreement: Agreement
) -> TimedValidations:
    """Every run has it: Lightning warns of a callback that only the resumed checkpoint has."""
    tokens = run.data.looked_at_tokens, run.task.shown_tokens
    limit = limit if run.config.val_every_steps == "auto" else None
    return TimedValidations(limit, run.throughput, agreement, *tokens, run.data.look_at)


def make_clock(run: Run, agreement: Agreement) -> tuple[TimeLimit | None, list[pl.Callback]]:
    """The time limit, if there is one, and the callbacks that come long before it."""
    pace = RecordPace(run.module.spend_time, is_limited=run.config.max_minutes is not None)
    limit = make_time_limit(run, agreement, pace.spend)
    return limit, [make_timed_validations(run, limit, agreement), *follow_pace(run, pace), pace]


def follow_pace(run: Run, recorded: RecordPace) -> list[pl.Callback]:
    """What takes the place of the clock in a run that repeats another one."""
    if run.pace is None or run.config.max_minutes is None:
        return []
    return [FollowPace(run.pace, recorded, run.data.look_at)]


def _on_one_device(run: Run) -> str:
    """Flags with which one device trains as all of them did, as a run of a sweep must."""
    config = run.config
    flags = [flag(key, "1") for key in ("devices", "num_nodes") if getattr(config, key) != 1]
    if run.num_devices > 1:
        num_batches = run.num_devices * config.accumulate_grad_batches
        flags += [flag("strategy", "auto"), flag("accumulate_grad_batches", str(num_batches))]
    return "".join(flags)


def finished(
    run: Run, step: int, copied: int = 0, best_weights: tuple[int, float] | None = None
) -> Finished:
    """The run as the coach looks at it."""
    config = f"--config {quoted(run.folder / CONFIG)}"
    name = flag("name", f"{run.folder.parent.name}-seeds")
    return Finished(
        train=run.curves.train,
        val=run.curves.val,
        step=step,
        lr=run.config.lr,
        dropout=run.dropout,
        grad_clip=run.config.grad_clip,
        max_minutes=run.config.max_minutes,
        ended_by_minutes=step < run.total_steps,
        epochs=run.config.epochs,
        precision=run.config.precision,
        best_weights=best_weights,
        skipped_steps=run.module.skipped_steps,
        picked_by_val_loss=run.monitor == "val_loss",
        copied=copied,
        num_devices=run.num_devices,
        config_flag=config,
        sweep_flags=f"{config}{name}{_on_one_device(run)}",
    )


def _last_step(run: Run) -> int:
    """Of a repeat under a time limit, the step at which the limit ended the run before."""
    if run.pace is None or run.config.max_minutes is None:
        return run.total_steps
    return min(run.total_steps, len(run.pace.shares) // run.config.accumulate_grad_batches)


def _advice(run: Run, step: int) -> str:
    """Nothing for a run that was interrupted, and will go on, or that is not summed up."""
    if run.signals.received or not run.sums_up:
        return ""
    copied = run.task.copied(run.shown_texts.get(step, "").strip())
    return "\n".join(map(str, advice(finished(run, step, copied))))


def _say_old_loss(loss: float) -> None:
    log.info("%s before the first step: %.4f", OLD_VAL_LOSS, loss)


def _save(run: Run, step: int, val_loss: float, weights: Mapping[str, Tensor]) -> None:
    results = {"results": {"best_step": step, "val_loss": val_loss}}
    save_weights(run.folder / WEIGHTS, weights, run.module.metadata | results)


def make_snapshots(run: Run) -> Snapshots:
    """Every run has it: Lightning warns of a callback that only the resumed checkpoint has."""
    is_there = run.keeper.is_there if run.keeper else lambda: False
    return Snapshots(run.folder, run.config.snapshots, is_there, run.throughput.pause)


def make_checkpoints(run: Run, agreement: Agreement) -> RunCheckpoints:
    return RunCheckpoints(
        run.folder,
        run.checkpoint_io,
        agreement,
        partial(_save, run),
        run.monitor,
        run.config.checkpoint_every_minutes,
        run.keeper,
    )


def is_shown_after(run: Run) -> Callable[[int], bool]:
    """Whether samples follow the validation after a step: the last one has some."""
    is_planned = run.config.val_every_steps == "auto" and run.config.max_minutes is None
    if run.task.shows_scores or not is_planned:
        return lambda step: True
    plan = run.validation_plan

    def is_shown(step: int) -> bool:
        number = step // plan.every_steps
        return step >= run.total_steps or number % plan.shows_every == 0

    return is_shown


def build_callbacks(run: Run) -> list[pl.Callback]:
    keys = run.config.resolved()
    agreement = Agreement({key: getattr(run.config, key) for key in CHOSEN})
    checkpoints = make_checkpoints(run, agreement)
    limit, clock = make_clock(run, agreement)
    parts: list[pl.Callback] = [
        run.throughput,
        agreement,
        *clock,
        LastStep(),
        Samples(run.task.show, run.shown_texts, is_shown_after(run)),
        Announcements(
            lambda: limit.seconds_left if limit else math.inf,
            schedule_changed=run.schedule_changed,
            shown=run.task.announced,
            note_of=run.many_passes_note if run.total_steps == ENDLESS_STEPS else None,
            last_step=_last_step(run),
        ),
        run.curves,
        Advising(partial(_advice, run)),
        Introduction(to_yaml(keys), keys, run.task.charts),
        RunProgressBar(),
        make_snapshots(run),
        Interruption(checkpoints, agreement, run.signals),
        RandomState(run.config.seed),
        checkpoints,
    ]
    if run.task.old_loss is not None:
        parts.insert(0, OldText(run.task.old_loss, _say_old_loss))
    if limit is not None:
        parts.append(limit)
    if run.config.patience is not None:
        parts.append(Patience(run.monitor, run.config.patience))
    return [*parts, WholeSteps()]
