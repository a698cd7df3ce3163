"""Trains one run, from a config to its summary.

Imports torch and Lightning only after the input was checked.
"""

import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformer.config.keys import Config
from transformer.run.conflicts import check_logger
from transformer.run.folder_keeper import RunFolder, lock_run
from transformer.run.origin import Origin
from transformer.storage.run_folder import (
    check_run_writable,
    check_writable,
    new_run_folder,
    run_of,
)
from transformer.storage.run_lock import RunLock
from transformer.storage.run_names import check_name
from transformer.system.errors import UserError, in_one_line, is_out_of_memory
from transformer.system.files import remove_leftovers
from transformer.system.lean_imports import import_lightning, without_collecting
from transformer.system.output import lasting_output
from transformer.system.processes import check_launch, is_rank_0
from transformer.system.signals import Interrupted
from transformer.system.terminal import quiet_libraries
from transformer.tasks.base import Data
from transformer.tasks.registry import task_of

if TYPE_CHECKING:
    import pytorch_lightning as pl

    from transformer.run.parts import Run

# Lightning and torch raise these for a checkpoint whose content was changed.
DAMAGE = (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError, MemoryError)

log = logging.getLogger(__name__)


@lasting_output()
def train(
    config: Config,
    resume: Path | Sequence[Path] | None = None,
    *,
    profile: bool = False,
    callbacks: "Sequence[pl.Callback]" = (),
    sum_up: bool = True,
    spent_seconds: float = 0.0,
    origin: Origin | None = None,
) -> Path:
    """Trains a new run, or continues the run of the checkpoint `resume`; returns the run's folder.

    Of several checkpoints, the first that is not damaged is used. The folder is locked until this
    function ends. `callbacks` are called before the run's own. Without `sum_up`, the run ends with
    its last validation: no exact loss of the best weights, no summary.json. `spent_seconds` passed
    before, but count in max_minutes. `origin` is recorded, and may be a run to follow. In the main
    thread, a signal that asks the program to end makes the run save its state and raise SystemExit,
    with the previous signal handlers restored.

    Raises: UserError for problems that a config alone does not show: a corpus that is missing or
    too short, a device that does not exist, a checkpoint of another corpus, a folder that cannot be
    written, a run that another process trains.
    """
    started_at = time.monotonic() - spent_seconds
    check_launch()
    check_logger(config.logger)
    with RunLock() as lock:
        checkpoint = choose_checkpoint(config, resume, lock)
        run, trainer, step = put_together(
            config, checkpoint, lock, started_at, profile, callbacks, sums_up=sum_up, origin=origin
        )
        if trainer.is_global_zero:
            from transformer.run.telling import introduce

            introduce(run, checkpoint, step)
        fit_and_conclude(run, trainer, checkpoint, sum_up=sum_up)
    return run.folder


def choose_checkpoint(
    config: Config, resume: Path | Sequence[Path] | None, lock: RunLock
) -> Path | None:
    """The checkpoint to continue from, after locking its run; None for a new run."""
    if not resume:
        check_name(config.run_name or config.model, "run_name")
        check_writable(config.runs_dir)
        return None
    checkpoints = [resume] if isinstance(resume, Path) else resume
    folder = run_of(checkpoints[0])
    check_run_writable(folder)
    lock_run(lock, folder)
    if len(checkpoints) == 1:
        return checkpoints[0]
    from transformer.run.resuming import newest_whole

    return newest_whole(checkpoints)


def saved_tokenizer(checkpoint: Path) -> Any:
    from transformer.storage.model_file import read_tokenizer

    return read_tokenizer(checkpoint)


def recall_of(config: Config, resume: Path | None) -> Callable[[], Any] | None:
    """Gives the tokenizer that is known before the data is read."""
    if resume is not None:
        return partial(saved_tokenizer, resume)
    return partial(start_tokenizer, config.start_from) if config.start_from else None


def start_tokenizer(path: str) -> Any:
    from transformer.run.starting import read_start

    return read_start(path).tokenizer


def read_data(config: Config, resume: Path | None) -> Data:
    """The data of a new run, or of the run to resume, with the old text if there is one."""
    build, recall = resume is None, recall_of(config, resume)
    data: Any = task_of(config.model).read(config, build=build, recall=recall)
    if config.start_from is None:
        return data
    from transformer.run.old_text import with_old_text

    return with_old_text(config, data, resume)


def read_input(config: Config, resume: Path | None) -> tuple[Config, Data, Mapping[str, Any]]:
    """The config with what depends on the data, the data, and the config before resuming."""
    kind = task_of(config.model)
    data = read_data(config, resume)
    config = kind.settle(config, data)

    from transformer.run import resuming  # imports no Lightning: a bad checkpoint is found sooner

    return config, data, resuming.check_resume(resume, config, data) if resume else {}


def put_together(
    config: Config,
    resume: Path | None,
    lock: RunLock,
    started_at: float,
    profile: bool,
    callbacks: "Sequence[pl.Callback]",
    *,
    sums_up: bool = True,
    origin: Origin | None = None,
) -> "tuple[Run, pl.Trainer, int]":
    """The parts of a run, its Trainer, and the number of steps that are already done."""
    with without_collecting():
        config, data, before = read_input(config, resume)

        import_lightning()
        from transformer.run import assembly, resuming
        from transformer.run.circumstances import hash_of_start
        from transformer.run.preparation import prepare
        from transformer.run.recording import parts_of

    quiet_libraries()
    origin = origin or Origin()
    start = hash_of_start(config, resume)  # while its weights are in memory
    parts = prepare(config, data, resume, profile=profile)
    config = parts.config
    step = resuming.check_unfinished(resume, parts.total_steps, before, config, origin.pace)
    folder = choose_folder(config, resume, lock)
    record = parts_of(folder, step, parts, before, origin.command, start)
    run = replace(
        parts.as_run(folder, started_at),
        schedule_changed=resuming.changes_schedule(before, config),
        keeper=RunFolder(folder, config.resolved(), lock, record),
        sums_up=sums_up,
        pace=origin.pace,
    )
    trainer = assembly.build_trainer(
        run, parts.hardware, first_step=step, profile=profile, callbacks=callbacks
    )
    return run, trainer, step


def fit_and_conclude(
    run: "Run", trainer: "pl.Trainer", resume: Path | None, *, sum_up: bool
) -> None:
    """A signal ends training between two steps; after training, it ends the run at once."""
    from transformer.run.telling import conclude, say_how_to_go_on

    try:
        with run.signals.heard():
            fit(run, trainer, resume)
            with run.signals.raised():
                if trainer.is_global_zero and sum_up:
                    conclude(run, trainer)
        run.signals.check()
    except Interrupted as interruption:
        say_how_to_go_on(run, trainer.global_step)
        sys.exit(interruption.exit_status)


def fit(run: "Run", trainer: "pl.Trainer", resume: Path | None) -> None:
    """Raises: UserError if memory runs out, `resume` does not fit, or the last save failed."""
    from transformer.run.compiling import repeatable
    from transformer.run.reports import out_of_memory_advice
    from transformer.training.callbacks.checkpoints import write_error
    from transformer.training.callbacks.interruption import ended_together

    try:
        with ended_together(trainer), repeatable(run.config):
            trainer.fit(run.module, run.data, ckpt_path=resume, weights_only=True)
    except DAMAGE as error:
        if is_out_of_memory(error):
            batches = run.config.accumulate_grad_batches
            raise UserError(out_of_memory_advice(run.config.batch_size, batches)) from None
        if resume is None or run.module.started or isinstance(error, UserError):
            raise
        reason = in_one_line(error)
        raise UserError(f"{resume}: damaged, its training state does not fit: {reason}") from None
    if (error := run.checkpoint_io.error) is not None:
        raise UserError(
            f"{run.folder}: the last checkpoint could not be saved ({write_error(error)}): free "
            "some space and continue with `resume`"
        )


def choose_folder(config: Config, resume: Path | None, lock: RunLock) -> Path:
    """The folder of the resumed run, or a new folder, locked by rank 0.

    The other ranks write nothing and get a path that does not exist.
    """
    if resume is not None:
        if is_rank_0():
            remove_leftovers(run_of(resume))
        return run_of(resume)
    name = config.run_name or config.model
    if not is_rank_0():
        return Path(config.runs_dir, name, "as_rank_0_chose")
    folder = new_run_folder(config.runs_dir, name)
    lock_run(lock, folder)
    return folder
