"""Which of a run's validations is the best, and what is kept of it."""

from pathlib import Path
from unittest.mock import Mock

import pytest
import pytorch_lightning as pl

from transformer.training.checkpoints import RunCheckpoints


@pytest.fixture
def validate(tmp_path):
    """Gives the callback, and a function that ends a validation with these metrics."""
    saved = []
    callback = RunCheckpoints(
        tmp_path / "last.ckpt",
        tmp_path / "best.ckpt",
        lambda step, val_loss: saved.append((step, val_loss)),
        "val_word_error_rate",
    )

    def end(step: int, error_rate: float, val_loss: float) -> list[tuple[int, float]]:
        trainer = Mock(pl.Trainer, sanity_checking=False, is_global_zero=True, global_step=step)
        trainer.callback_metrics = {"val_word_error_rate": error_rate, "val_loss": val_loss}
        trainer.save_checkpoint = lambda path: Path(path).write_text(f"step {step}", "utf-8")
        callback.on_validation_end(trainer, Mock(pl.LightningModule))
        return saved

    return callback, end


def test_the_best_is_where_the_monitored_metric_is_lowest_whatever_the_loss(validate, tmp_path):
    _, end = validate
    end(1, 0.5, 0.3)
    end(2, 0.4, 0.9)
    assert end(3, 0.45, 0.1) == [(1, 0.3), (2, 0.9)]
    assert (tmp_path / "best.ckpt").read_text(encoding="utf-8") == "step 2"
    assert (tmp_path / "last.ckpt").read_text(encoding="utf-8") == "step 3"


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
