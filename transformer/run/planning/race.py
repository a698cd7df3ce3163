"""The race: a plan's best candidates train for a tenth of the time, and the best one goes on.

Each candidate is a run of its own, with the same batches. What a race shows is compared with what
the law expects after so many tokens: a candidate that is better than expected then should be better
at the end, too. The others' folders stay, so that their curves can be seen.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
from tabulate import tabulate

from transformer.config.files import load_config
from transformer.config.keys import Config
from transformer.run.planning.planner import Plan, Planner
from transformer.storage.model_file import load_model
from transformer.storage.run_folder import CONFIG, LAST, WEIGHTS
from transformer.system.errors import UserError
from transformer.system.shell import quoted
from transformer.system.terminal import quietly, tell
from transformer.training.callbacks.after_batch import AfterBatch
from transformer.training.lightning_internals import reload_validation

RACE_SHARE = 0.1  # of the minutes, for all candidates together
LEAST_MINUTES = 10.0
MOST_CANDIDATES = 3
VALIDATED_TOKENS = 50_000  # at most, of the validation split


class Entry(NamedTuple):
    """A candidate: its config, what its plan expects, and the planner, with what is spent."""

    config: Config
    plan: Plan
    planner: Planner
    race_seconds: float = 0.0


class Placed(NamedTuple):
    entry: Entry
    folder: Path
    steps: int
    val_loss: float

    @property
    def outlook(self) -> float:
        """The plan's loss, corrected by what the race showed.

        The learning rate is still high in a race, which raises all losses alike.
        """
        plan, planner = self.entry.plan, self.entry.planner
        expected_now = planner.after(plan, self.steps)
        assert plan.predicted is not None  # or there would be one candidate
        assert expected_now is not None
        return plan.predicted + self.val_loss - expected_now


def entries_of(planner: Planner, minutes: float, *, raced: bool = True) -> list[Entry]:
    """The candidates, the best plan first; only this one if there is no race.

    Each is planned for the minutes that it has if it wins: those of the others' races are spent.
    """
    number = len(planner.candidates(minutes, MOST_CANDIDATES))
    if not raced or number == 1 or minutes < LEAST_MINUTES or not planner.base.race:
        return [entry_of(planner, planner.for_minutes(minutes))]
    race_seconds = 60 * minutes * RACE_SHARE / number
    spent = planner.spent_seconds + (number - 1) * race_seconds
    planner = replace(planner, spent_seconds=spent)
    plans = planner.candidates(minutes, number)
    return [entry_of(planner, plan)._replace(race_seconds=race_seconds) for plan in plans]


def entry_of(planner: Planner, plan: Plan) -> Entry:
    return Entry(planner.config_of(plan), plan, planner)


class RaceEnd(AfterBatch):
    """Ends a run after some seconds, with a validation of a part of the split."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.ends_at = math.inf
        self.steps = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.ends_at = time.monotonic() + self.seconds  # its text has been read
        data: Any = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]  # set later
        data.look_at(min(data.looked_at_tokens, VALIDATED_TOKENS))
        reload_validation(trainer)

    def after_batch(self, trainer: pl.Trainer, batch: Any) -> None:
        self.steps = trainer.global_step
        if time.monotonic() >= self.ends_at:
            trainer.should_stop = True


def race(entries: Sequence[Entry], train: Callable[..., Path]) -> tuple[Config, Path]:
    """Returns the config of the best candidate and the checkpoint from which it goes on.

    `train(config, callbacks=..., sum_up=..., spent_seconds=...)` trains a run and returns its
    folder. A signal ends the race with the run that it meets, which can be resumed.
    """
    seconds = entries[0].race_seconds
    tell(f"race: {len(entries)} candidates train for {seconds:.0f} s each (`race`)")
    placed = legs(entries, train)
    winner = min(placed, key=lambda each: each.outlook)
    tell(_table(placed, winner))
    # A run as long as this may be worth compiling.
    config = load_config(winner.folder / CONFIG, {"compile": _compiles(winner.entry)})
    return config, winner.folder / LAST


def _compiles(entry: Entry) -> str:
    """The value of the plan, which a race does not follow."""
    return str(entry.config.compile).lower()


def legs(entries: Sequence[Entry], train: Callable[..., Path]) -> list[Placed]:
    """Leaves out a candidate that cannot train; raises its error if there is no other."""
    placed, errors = [], []
    for entry in entries:
        try:
            placed.append(_run(entry, train))
        except UserError as error:
            errors.append(error)
            tell(f"race: a candidate is left out: {error}")
        except SystemExit:
            runs = Path(entry.config.runs_dir, str(entry.config.run_name))
            tell(
                f"the race was stopped; to go on with the run of the last candidate:\n"
                f"  python train.py --resume {quoted(runs)} --compile {_compiles(entry)}"
            )
            raise
    if not placed:
        raise errors[0]
    return placed


def _run(entry: Entry, train: Callable[..., Path]) -> Placed:
    end = RaceEnd(entry.race_seconds)
    config = entry.config
    # Compiling would take much of so short a time.
    config = config.model_copy(update={"compile": False})
    with quietly():
        spent = entry.planner.spent_seconds
        folder = train(config, callbacks=[end], sum_up=False, spent_seconds=spent)
    val_loss = load_model(folder / WEIGHTS).results["val_loss"]
    return Placed(entry, folder, end.steps, float(val_loss))


def _table(placed: Sequence[Placed], winner: Placed) -> str:
    rows = [
        (
            "goes on" if each is winner else "",
            *(each.entry.plan.size.width, each.entry.plan.size.num_blocks),
            *(f"{each.entry.config.resolved()['dropout']:g}", each.steps, f"{each.val_loss:.4f}"),
            *(f"{each.outlook:.2f}", str(each.folder)),
        )
        for each in placed
    ]
    names = ("embedding_dim", "num_blocks", "dropout", "steps", "val_loss", "outlook", "folder")
    return tabulate(rows, ("race", *names), disable_numparse=True)
