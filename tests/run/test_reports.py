"""The notes and advice that a run prints."""

import pytest

from transformer.run.reports import many_passes_note, out_of_memory_advice, overfitting_note
from transformer.system.errors import in_flags

RISING = {"best_step": 40, "step": 100, "val_loss": 1.5, "last_val_loss": 1.75, "train_loss": 0.5}


def test_a_run_whose_validation_loss_rose_is_told_since_when_and_what_helps():
    note = overfitting_note(RISING)
    assert note.startswith(
        "val_loss was lowest at step 40 (1.5000; these weights are kept), and 1.75"
    )
    assert "1.2500 above train_loss (0.5000)" in note
    assert "For a lower val_loss try --max_steps 40 (" in note
    assert note.endswith(
        "try --max_steps 40 (the learning rate then falls in time) or --dropout 0.2"
    )


@pytest.mark.parametrize("dropout", [None, 0.2, 0.4])
def test_a_dropout_that_is_there_or_cannot_be_is_not_advised(dropout):
    assert overfitting_note(RISING, dropout).endswith(
        "--max_steps 40 (the learning rate then falls in time)"
    )


def test_many_passes_over_a_small_text_are_said_with_what_helps():
    note = many_passes_note(2400, 117.0, 0.0)
    assert note.startswith("20.5 passes over a small text")
    assert note.endswith("Try --max_steps 468 (4 passes) or --dropout 0.2")
    assert many_passes_note(2400, 117.0, 0.1) is None
    assert many_passes_note(2400, 654.0, 0.0) is None  # default.yaml on Shakespeare


@pytest.mark.parametrize(
    "changes",
    [
        {"best_step": 95},
        {"last_val_loss": None},
        {"last_val_loss": 1.51},
        {"best_step": 100, "last_val_loss": 1.5},
    ],
)
def test_one_that_did_not_is_told_nothing(changes):
    assert overfitting_note(RISING | changes) is None


@pytest.mark.parametrize("train_loss", [None, 2.0])
def test_a_train_loss_that_says_nothing_is_left_out(train_loss):
    assert "train_loss" not in overfitting_note(RISING | {"train_loss": train_loss})


@pytest.mark.parametrize(
    ("batch_size", "batches", "smaller", "more"), [(256, 1, 128, 2), (7, 3, 1, 21), (9, 2, 3, 6)]
)
def test_a_smaller_batch_makes_as_large_a_step(batch_size, batches, smaller, more):
    advice = in_flags(out_of_memory_advice(batch_size, batches))
    assert f"--batch_size {smaller} --accumulate_grad_batches {more}," in advice
    assert smaller * more == batch_size * batches


def test_of_a_batch_of_one_nothing_is_left_to_take():
    assert "smaller --block_size" in in_flags(out_of_memory_advice(1, 4))
