"""What goes wrong in a run costs as little as can be, and is said in one line."""

import math

import pytest
import pytorch_lightning as pl
import torch

from tests.marks import first_fast
from transformer.storage.model_file import load_model
from transformer.storage.run_folder import LAST, PREVIOUS, WEIGHTS
from transformer.system.errors import UserError
from transformer.training.lightning_module import LanguageModule


@pytest.fixture
def spoil_steps(monkeypatch):
    """Makes the loss, and so the gradient, of these steps not finite, or raises."""
    original = LanguageModule.training_step

    def spoil(steps, error=None):
        def training_step(self, batch, batch_idx):
            loss = original(self, batch, batch_idx)
            if self._trainer is None or self.trainer.global_step + 1 not in steps:
                return loss
            if error is not None:
                raise error
            return loss * math.nan

        monkeypatch.setattr(LanguageModule, "training_step", training_step)

    return spoil


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_step_that_is_not_finite_is_skipped_and_counted(
    train_here, summary_of, spoil_steps, caplog, optimizer
):
    spoil_steps({4})
    folder = train_here(max_steps=12, optimizer=optimizer)
    summary = summary_of(folder)
    assert summary["skipped_steps"] == 1
    assert summary["val_loss"] < math.log(64)
    messages = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert messages == [
        "step 10: steps skipped because the gradient was not finite: 1 (1 in total)"
    ]


def test_many_such_steps_end_the_run_and_leave_good_checkpoints(train_here, tmp_path, spoil_steps):
    spoil_steps(range(12, 100))
    with pytest.raises(
        UserError, match=r"not finite, 19 steps in a row, at step 30 .* smaller `lr`"
    ):
        train_here(val_every_steps=10)
    folder = tmp_path / "runs" / "gpt" / "version_0"
    for name in (LAST, WEIGHTS):
        assert all(p.isfinite().all() for p in load_model(folder / name).model.parameters())


def test_out_of_memory_names_the_batch_and_as_large_a_step(train_here, spoil_steps):
    spoil_steps({2}, RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to"))
    match = "out of memory with batch_size 12: give `batch_size=6` `accumulate_grad_batches=4`, as"
    with pytest.raises(UserError, match=match):
        train_here(batch_size=12, accumulate_grad_batches=2)


class CrashAfter(pl.Callback):
    """Ends a run as an error in the midst of it does."""

    def __init__(self, step):
        self.step = step

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.step:
            raise ZeroDivisionError


@pytest.mark.parametrize("batches", [1, 3])
def test_checkpoints_are_written_between_validations_too(train_here, tmp_path, batches):
    changes = {"checkpoint_every_minutes": 1e-6, "accumulate_grad_batches": batches}
    with pytest.raises(ZeroDivisionError):
        train_here(**changes, val_every_steps=50, callbacks=[CrashAfter(8)])
    folder = tmp_path / "runs" / "gpt" / "version_0"
    steps = [
        torch.load(folder / name, weights_only=True)["global_step"] for name in (LAST, PREVIOUS)
    ]
    assert steps == [8, 7]


def drop(name):
    return lambda content: content.pop(name)


def shrink_a_moment(content):
    content["optimizer_states"][0]["state"][0]["exp_avg"] = torch.zeros(2)


def spoil_a_moment(content):
    content["optimizer_states"][0]["state"][0]["exp_avg"][0] = math.nan


def lose_a_group(content):
    del content["optimizer_states"][0]["param_groups"][1]


@pytest.mark.parametrize(
    "change",
    first_fast(
        [
            *(shrink_a_moment, lose_a_group, spoil_a_moment),
            *map(drop, ("optimizer_states", "language_module", "loops", "global_step")),
        ],
        2,
    ),
)
def test_a_checkpoint_whose_training_state_does_not_fit_is_refused(train_here, change):
    """Its weights are whole, and so are the file's checksums: someone changed the rest."""
    folder = train_here(max_steps=2)
    content = torch.load(folder / LAST, weights_only=True)
    change(content)
    torch.save(content, folder / LAST)
    with pytest.raises(UserError, match=r"last\.ckpt: damaged") as caught:
        train_here(str(folder / "config.yaml"), resume=folder / LAST, max_steps=4)
    assert "\n" not in str(caught.value)


def test_a_run_that_gets_worse_is_told_so_with_a_better_length(train_here, capsys, monkeypatch):
    monkeypatch.setattr("transformer.run.coach.LATE", 1)  # as if each run got worse
    monkeypatch.setattr("transformer.run.coach.RISEN", 0)
    monkeypatch.setattr("transformer.run.coach.LEAST_RISE", -10)
    train_here(max_steps=4)
    assert "val_loss was lowest at step 4 (" in (said := capsys.readouterr().out)
    assert "--max_steps 4" in said
