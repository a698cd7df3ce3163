"""`Agreement` finds the largest answer, with one process and with several."""

from unittest.mock import Mock

import pytest
import pytorch_lightning as pl
import torch
from torch import distributed

from transformer.system.errors import UserError
from transformer.training.callbacks.agreement import Agreement


def test_answers_are_asked_anew_after_each_batch_and_validation():
    agreement, numbers = Agreement(), iter([1.0, 2.5])
    agreement.ask("number", lambda: next(numbers))
    trainer = Mock(pl.Trainer, world_size=1, sanity_checking=False)
    agreement.on_train_start(trainer, Mock(pl.LightningModule))
    assert agreement.answers == {"number": 0}
    agreement.after_batch(trainer, None)
    assert agreement.answers == {"number": 1}
    agreement.on_validation_end(trainer, Mock(pl.LightningModule))
    assert agreement.answers == {"number": 2.5}


def test_ranks_that_begin_at_different_steps_are_told_so(monkeypatch):
    monkeypatch.setattr(distributed, "new_group", Mock())
    monkeypatch.setattr(
        "transformer.training.callbacks.agreement.of_all_ranks",
        lambda own: [own, own if isinstance(own, dict) else 1200],
    )
    trainer = Mock(pl.Trainer, world_size=2, global_step=0)
    with pytest.raises(UserError, match=r"some .* from step 1,200 and others from 0: .* --rdzv_id"):
        Agreement().on_train_start(trainer, Mock(pl.LightningModule))
    trainer.global_step = 1200
    Agreement().on_train_start(trainer, Mock(pl.LightningModule))


@pytest.mark.parametrize("formats", [["bf16", "bf16"], ["bf16", "float32"]], ids=str)
def test_ranks_that_chose_otherwise_are_told_which_key_to_give(monkeypatch, formats):
    """Answers that count for a while can end between the questions of two ranks."""
    monkeypatch.setattr(distributed, "new_group", Mock())
    monkeypatch.setattr(
        "transformer.training.callbacks.agreement.of_all_ranks",
        lambda own: [{**own, "precision": each} for each in formats] if own else [own, own],
    )
    agreement = Agreement({"attention": "fused", "precision": formats[0]})
    trainer = Mock(pl.Trainer, world_size=2, global_step=0)
    if len({*formats}) == 1:
        agreement.on_train_start(trainer, Mock(pl.LightningModule))
        return
    wanted = "process 0 chose precision bf16 and process 1 precision float32: give `precision`"
    with pytest.raises(UserError, match=wanted):
        agreement.on_train_start(trainer, Mock(pl.LightningModule))


def _ask(rank: int, path: str, queue) -> None:
    distributed.init_process_group("gloo", f"file://{path}", rank=rank, world_size=2)
    agreement = Agreement({"precision": "bf16"})
    agreement.ask("rank", lambda: rank)
    agreement.ask("minus", lambda: -rank)
    trainer = Mock(pl.Trainer, world_size=2, global_step=0)
    agreement.on_train_start(trainer, Mock(pl.LightningModule))
    agreement.after_batch(trainer, None)
    queue.put(agreement.answers)
    distributed.destroy_process_group()


@pytest.mark.slow  # of processes that import torch
def test_the_largest_answer_of_all_ranks_counts_for_each(tmp_path):
    queue = torch.multiprocessing.get_context("spawn").SimpleQueue()
    torch.multiprocessing.spawn(_ask, (str(tmp_path / "store"), queue), nprocs=2)
    assert [queue.get(), queue.get()] == [{"rank": 1, "minus": 0}] * 2
