"""What a run prints at its start, at its end and when it is stopped."""

import logging
from pathlib import Path

import pytorch_lightning as pl

from transformer.run.parts import Run
from transformer.run.reports import introduction
from transformer.run.summary import last_lines, summarize
from transformer.storage.summaries import summed_up_step
from transformer.system.shell import quoted
from transformer.system.terminal import tell
from transformer.training.estimates import ENDLESS_STEPS

log = logging.getLogger(__name__)


def introduce(run: Run, resume: Path | None, step: int) -> None:
    """Writes config.yaml, and prints the data, the model and the folder.

    Only a new run warns of doubtful settings: those of a resumed run were accepted before.
    """
    config = run.config
    doubts = config.family_settings().doubts(config.warmup_steps)
    for doubt in () if resume else doubts:
        log.warning(doubt)
    assert run.keeper is not None
    run.keeper.write_start()
    text = introduction(
        run.module.model,
        num_train_tokens=run.data.num_train_tokens,
        total_steps=run.total_steps,
        tokens_per_step=run.tokens_per_step,
        batch=run.batch_words,
    )
    tell(run.task.introduction())
    tell(text)
    if run.total_steps < ENDLESS_STEPS and (note := run.many_passes_note(run.total_steps)):
        tell(note)
    if config.max_minutes and run.pace is None:
        tell(f"the whole run takes about {config.max_minutes:g} minutes at most")
    tell(f"the run is in {run.folder}")
    if resume:
        end = f" of {run.total_steps:,}" if run.total_steps < ENDLESS_STEPS else ""
        tell(f"going on from step {step:,}{end}, with {resume}")


def conclude(run: Run, trainer: pl.Trainer) -> None:
    tell(last_lines(run, *summarize(run, trainer)))


def say_how_to_go_on(run: Run, step: int) -> None:
    if summed_up_step(run.folder) == step:
        log.info("\nstopped after step %s, the last; the run is finished: %s", step, run.folder)
        return
    saved = run.checkpoint_io.error is None
    state = "everything is saved" if saved else "only an earlier step could be saved"
    log.info("\nstopped after step %s; %s; to go on:", step, state)
    log.info("  python train.py --resume %s", quoted(run.folder))
