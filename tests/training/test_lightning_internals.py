"""What Lightning does not document is still as it was in the versions that were looked at."""

import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.strategies.launchers import _SubprocessScriptLauncher
from torch.utils.data import DataLoader

from transformer.training import lightning_internals as internals

QUIET = {"accelerator": "cpu", "enable_checkpointing": False}
QUIET |= {"enable_progress_bar": False, "enable_model_summary": False}
NUM_BATCHES = 12


class Module(pl.LightningModule):
    """Trains nothing, and counts its validations and the loaders that they were given."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.num_loaders = 0
        self.validated_after: list[int] = []  # batches

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        return self.weight * 0

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.validated_after.append(self.trainer.fit_loop.total_batch_idx + 1)

    def train_dataloader(self) -> DataLoader:
        return DataLoader(torch.zeros(NUM_BATCHES, 1))

    def val_dataloader(self) -> DataLoader:
        self.num_loaders += 1
        return DataLoader(torch.zeros(1, 1))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.0)


class AfterEachBatch(pl.Callback):
    def __init__(self, ask: Callable[[pl.Trainer, int], Any]) -> None:
        self.ask = ask
        self.answers: list[Any] = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        self.answers.append(self.ask(trainer, batch_idx + 1))


@pytest.fixture
def answers():
    """What `ask(trainer, number)` says after each batch, and the module that was trained."""

    def fit(ask, *, prepare=lambda trainer: None, **settings):
        callback, module = AfterEachBatch(ask), Module()
        trainer = pl.Trainer(
            **QUIET | {"logger": False, "max_epochs": 1, "callbacks": [callback]} | settings
        )
        prepare(trainer)
        trainer.fit(module)
        return callback.answers, module

    return fit


pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers.*")


def test_the_installed_lightning_is_one_that_was_looked_at():
    assert pl.__version__ in internals.TRIED_WITH


def test_no_other_file_uses_a_private_part_of_a_trainer():
    private = re.compile(r"\b(trainer|strategy|launcher|logger|\w*loop)\.(\w+\.)*_[a-z]")
    files = Path(internals.__file__).parents[1].rglob("*.py")
    users = [path.name for path in files if private.search(path.read_text(encoding="utf-8"))]
    assert users == ["lightning_internals.py"]


def test_a_step_ends_with_each_third_batch_that_is_accumulated_and_with_the_last(answers):
    found, _ = answers(lambda trainer, _: internals.between_steps(trainer), limit_train_batches=7)
    assert found == [True] * 7
    found, _ = answers(
        lambda trainer, _: internals.between_steps(trainer),
        accumulate_grad_batches=3,
        limit_train_batches=7,
    )
    assert found == [False, False, True, False, False, True, True]


def test_a_step_is_logged_at_its_last_batch_alone(answers):
    found, _ = answers(
        lambda trainer, _: internals.logs_now(trainer),
        accumulate_grad_batches=2,
        log_every_n_steps=3,
    )
    assert [number for number, logs in enumerate(found, 1) if logs] == [6, 12]


def test_a_validation_comes_after_the_batch_that_asks_for_it_and_is_foreseen(answers):
    def ask(trainer, number):
        internals.validate_after_this_batch(trainer, number in (5, 7))
        return internals.validates_now(trainer)

    never = {"val_check_interval": internals.NEVER, "check_val_every_n_epoch": None}
    found, module = answers(ask, **never, num_sanity_val_steps=0)
    assert [number for number, validates in enumerate(found, 1) if validates] == [5, 7]
    assert module.validated_after == [5, 7]


def test_validation_batches_are_asked_for_anew_and_training_goes_on(answers):
    def ask(trainer, number):
        if number == 5:
            internals.reload_validation(trainer)
        return trainer.training

    found, module = answers(ask, val_check_interval=3, num_sanity_val_steps=0)
    assert found == [True] * NUM_BATCHES
    assert module.num_loaders == 2
    assert module.validated_after == [3, 6, 9, 12]


def test_metrics_of_ones_own_are_still_there_after_those_that_are_logged(answers):
    def ask(trainer, number):
        if number == 1:
            internals.add_metrics(trainer, {"speed": torch.tensor(3.0)})
        trainer.lightning_module.log("loss", float(number))
        return trainer.callback_metrics.get("speed")

    found, _ = answers(ask)
    assert found == [3.0] * NUM_BATCHES


def test_signals_have_the_handlers_that_they_had_before_the_fit(answers):
    def handler(trainer, number):
        return signal.getsignal(signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with_lightnings_own, _ = answers(handler)
    assert before not in with_lightnings_own
    without, _ = answers(handler, prepare=internals.leave_signals_alone)
    assert without == [before] * NUM_BATCHES


def test_a_launcher_lists_the_processes_that_it_has_started():
    trainer = pl.Trainer(**QUIET, logger=False)
    assert internals.started_processes(trainer) == []  # without a launcher
    launcher = _SubprocessScriptLauncher(None, 2, 1)  # type: ignore[arg-type]
    trainer.strategy._launcher = launcher
    assert internals.started_processes(trainer) is launcher.procs


def test_a_logger_that_forgets_its_writer_opens_a_new_file_and_purges_nothing(tmp_path):
    logger = TensorBoardLogger(str(tmp_path), name="", version="", purge_step=3)
    assert not internals.has_writer(logger)
    first = logger.experiment
    assert internals.has_writer(logger)
    assert logger._kwargs == {"purge_step": 3}
    first.close()
    internals.forget_writer(logger)
    assert logger.experiment is not first
    assert logger._kwargs == {}
    logger.experiment.close()
