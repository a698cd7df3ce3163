"""Which validation is the best, which files are kept, and what happens on a full disk."""

import errno
from pathlib import Path
from unittest.mock import Mock

import pytest
import pytorch_lightning as pl
import torch

from transformer.storage.run_folder import BEST, LAST, PREVIOUS
from transformer.training.callbacks.agreement import Agreement
from transformer.training.callbacks.checkpoints import Keeper, RunCheckpointIO, RunCheckpoints
from transformer.training.lightning_module import LanguageModule


class Full(RunCheckpointIO):
    """Whose disk is full where `full` is."""

    full = False

    def save_checkpoint(self, checkpoint, path, storage_options=None):
        if self.full:
            checkpoint = {"global_step": checkpoint["global_step"], "big": Unwritable()}
        super().save_checkpoint(checkpoint, path, storage_options)


class Unwritable:
    def __reduce__(self):
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def validate(tmp_path):
    """Gives the callback, and a function that ends a validation with these metrics."""
    saved = []
    io = Full()
    callback = RunCheckpoints(
        tmp_path,
        io,
        Agreement(),
        lambda step, val_loss, weights: saved.append((step, val_loss)),
        "val_word_error_rate",
    )

    def end(step: int, error_rate: float, val_loss: float) -> list[tuple[int, float]]:
        trainer = Mock(
            pl.Trainer, sanity_checking=False, is_global_zero=True, global_step=step, world_size=1
        )
        trainer.lightning_module, trainer.training = Mock(LanguageModule), False
        trainer.callback_metrics = {"val_word_error_rate": error_rate, "val_loss": val_loss}
        trainer.loggers = []
        trainer.save_checkpoint = lambda path: io.save_checkpoint({"global_step": step}, path)
        callback.on_validation_end(trainer, Mock(pl.LightningModule))
        return saved

    return callback, end


def step_of(path: Path) -> int:
    return torch.load(path, weights_only=True)["global_step"]


def test_the_best_is_where_the_monitored_metric_is_lowest_whatever_the_loss(validate, tmp_path):
    _, end = validate
    end(1, 0.5, 0.3)
    end(2, 0.4, 0.9)
    assert end(3, 0.45, 0.1) == [(1, 0.3), (2, 0.9)]
    assert step_of(tmp_path / BEST) == 2
    assert step_of(tmp_path / LAST) == 3
    assert step_of(tmp_path / PREVIOUS) == 2


def test_of_equals_the_lower_loss_is_better_and_the_first_of_full_equals_stays(validate):
    _, end = validate
    end(1, 0.0, 0.3)
    end(2, 0.0, 0.2)
    assert end(3, 0.0, 0.2) == [(1, 0.3), (2, 0.2)]


def test_a_resumed_run_remembers_its_best(validate):
    callback, end = validate
    end(1, 0.4, 0.3)
    state = callback.state_dict()
    callback.lowest, callback.best_step = (1.0, 1.0), 0
    callback.load_state_dict(state)
    assert end(2, 0.4, 0.5) == [(1, 0.3)]
    assert callback.best_step == 1


def test_a_full_disk_keeps_what_was_saved_and_is_tried_again(validate, tmp_path, caplog):
    callback, end = validate
    end(1, 0.5, 0.3)
    callback.io.full = True
    with caplog.at_level("WARNING"):
        assert end(2, 0.4, 0.3) == [(1, 0.3)]
    assert [record.message.partition(":")[0] for record in caplog.records] == ["step 2", "step 2"]
    for record, name in zip(caplog.records, (BEST, LAST), strict=True):
        assert f"{tmp_path / name} could not be saved (No space left on device)" in record.message
    assert [step_of(tmp_path / name) for name in (LAST, BEST)] == [1, 1]
    names = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert names == {"last.ckpt", "best.ckpt"}
    callback.io.full = False
    # Not better than what could not be saved, but better than what was.
    assert end(3, 0.45, 0.3) == [(1, 0.3), (3, 0.3)]
    assert [step_of(tmp_path / name) for name in (PREVIOUS, LAST, BEST)] == [1, 3, 3]


def test_weights_that_cannot_be_written_are_tried_again(validate, tmp_path):
    callback, end = validate
    save_weights = callback.save_weights
    callback.save_weights = Mock(side_effect=OSError(errno.ENOSPC, "No space left on device"))
    assert end(1, 0.5, 0.3) == []
    callback.save_weights = save_weights
    assert end(2, 0.6, 0.3) == [(2, 0.3)]


def test_a_best_state_is_written_once_under_both_names(validate, tmp_path, monkeypatch):
    written = []
    save = torch.save
    monkeypatch.setattr(torch, "save", lambda *given: (written.append(1), save(*given)))
    _, end = validate
    end(1, 0.5, 0.3)
    assert written == [1]
    assert (tmp_path / LAST).samefile(tmp_path / BEST)
    end(2, 0.6, 0.3)
    assert written == [1, 1]
    assert (tmp_path / PREVIOUS).samefile(tmp_path / BEST)
    end(3, 0.4, 0.3)
    assert (tmp_path / LAST).samefile(tmp_path / BEST)
    assert [step_of(tmp_path / name) for name in (PREVIOUS, LAST, BEST)] == [2, 3, 3]


def test_where_files_cannot_have_two_names_the_best_is_copied(validate, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    _, end = validate
    for step, error_rate in ((1, 0.5), (2, 0.4)):
        end(step, error_rate, 0.3)
        assert not (tmp_path / LAST).samefile(tmp_path / BEST)
        assert (tmp_path / LAST).read_bytes() == (tmp_path / BEST).read_bytes()
    assert step_of(tmp_path / PREVIOUS) == 1


def test_a_run_that_is_killed_between_the_two_goes_on_from_before_both(validate, tmp_path):
    callback, end = validate
    end(1, 0.5, 0.3)
    callback.save_weights = Mock(side_effect=KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        end(2, 0.4, 0.3)
    assert [step_of(tmp_path / name) for name in (LAST, BEST)] == [1, 2]


def test_a_best_state_whose_weights_were_lost_is_not_the_last_one(validate, tmp_path):
    """last.ckpt says then that there was no better one, and the next better one is tried."""
    callback, end = validate
    callback.save_weights = Mock(side_effect=OSError(errno.ENOSPC, "No space left on device"))
    end(1, 0.5, 0.3)
    assert not (tmp_path / LAST).samefile(tmp_path / BEST)


def test_without_its_weights_a_run_writes_those_of_the_next_validation(validate):
    callback, end = validate
    callback.keeper = Mock(Keeper, keep=Mock(return_value=False), has_weights=lambda: True)
    end(1, 0.4, 0.3)
    assert end(2, 0.5, 0.3) == [(1, 0.3)]
    callback.keeper.has_weights = lambda: False
    assert end(3, 0.6, 0.3) == [(1, 0.3), (3, 0.3)]
