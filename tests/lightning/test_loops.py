"""Fit, validate, test and predict, as long and on as much as a Trainer is told to."""

from datetime import timedelta

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from transformer import CharacterDataModule, PairDataModule, UserError


def batches_of(data):
    """An endless loader's first batches as a user's own loader."""
    batches = iter(data.train_dataloader())
    return DataLoader([next(batches) for _ in range(3)], batch_size=None)


def test_validate_gives_the_losses_before_and_after_a_fit(kind, trainer_with):
    module, data = kind.make()
    trainer = trainer_with(max_steps=9)
    (before,) = trainer.validate(module, data, verbose=False)
    trainer.fit(module, data)
    (after,) = trainer.validate(module, data, verbose=False)
    assert list(before) == list(after) == [f"val_{unit}" for unit in kind.units]
    assert after["val_loss"] < before["val_loss"]


def test_a_test_scores_all_windows_of_a_text_and_the_test_split_of_pairs(kind, trainer_with):
    module, data = kind.make()
    trainer = trainer_with(max_steps=1)
    (found,) = trainer.test(module, data, verbose=False)
    assert list(found) == [f"test_{unit}" for unit in kind.units]
    (validated,) = trainer.validate(module, data, verbose=False)
    if isinstance(data, CharacterDataModule):
        assert found["test_loss"] == validated["val_loss"]
    else:
        targets = torch.cat([batch[2].flatten() for batch in data.test_dataloader()])
        texts = [kind.words[place] for place in data.splits.test]
        assert int((targets >= 0).sum()) == sum(len(text) + 1 for text in texts)


def test_pairs_without_a_test_split_say_so(kind, trainer_with):
    module, data = kind.make()
    if isinstance(data, CharacterDataModule):
        return
    data = PairDataModule("pairs.tsv", block_size=5, batch_size=11, test_fraction=0.0)
    with pytest.raises(UserError, match="test_fraction=0 keeps no pairs"):
        trainer_with().test(module, data, verbose=False)


def test_predict_gives_logits_of_batches_with_and_without_targets(kind, trainer_with):
    module, data = kind.make()
    trainer = trainer_with()
    found = trainer.predict(module, data)
    batches = list(data.predict_dataloader())
    assert len(found) == len(batches)
    with torch.no_grad():
        assert torch.equal(found[0], module.model(*batches[0][:-1]))
    bare = [batch[0] if len(batch) == 2 else batch[:-1] for batch in batches]
    (again, *_) = trainer.predict(module, DataLoader(bare, batch_size=None))
    assert torch.equal(again, found[0])


@pytest.mark.parametrize(
    ("settings", "steps_of"),
    [
        ({"max_epochs": 2}, lambda n: 2 * n),
        ({"max_epochs": 2, "accumulate_grad_batches": 2}, lambda n: 2 * -(-n // 2)),
        ({"max_epochs": 2, "limit_train_batches": 3}, lambda n: 6),
        ({"max_epochs": 2, "limit_train_batches": 0.5}, lambda n: 2 * (n // 2)),
        ({"max_epochs": 2, "max_steps": 3}, lambda n: 3),
        ({"max_epochs": 1, "val_check_interval": 0.5, "limit_val_batches": 1}, lambda n: n),
        ({"max_epochs": 3, "overfit_batches": 2}, lambda n: 6),
        ({"fast_dev_run": 3}, lambda n: 3),
        ({"max_epochs": 1, "precision": "64-true", "inference_mode": False}, lambda n: n),
    ],
    ids=lambda value: "steps" if callable(value) else str(value),
)
def test_the_schedule_is_as_long_as_the_trainer_says(kind, trainer_with, seen, settings, steps_of):
    """The last step has the lowest rate, which is nearly the final one."""
    module, data = kind.make(warmup_steps=0)
    trainer = trainer_with(**settings, callbacks=[seen])
    trainer.fit(module, data)
    num_steps = steps_of(len(data.train_dataloader()))
    assert trainer.global_step == num_steps
    assert module._schedule.total_steps == num_steps
    assert seen.rates[0] == max(seen.rates)
    assert seen.rates[-1] == min(seen.rates)


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_a_limit_of_time_needs_a_schedule_without_an_end(kind, trainer_with, schedule):
    module, data = kind.make(schedule=schedule)
    trainer = trainer_with(max_time=timedelta(seconds=0.2), max_epochs=-1)
    if schedule == "constant":
        trainer.fit(module, data)
        assert trainer.global_step > 0
        return
    with pytest.raises(ValueError, match="schedule cosine needs the length of the run: give"):
        trainer.fit(module, data)


def test_overfit_batches_are_the_same_in_each_pass(kind, trainer_with, seen):
    module, data = kind.make()
    trainer_with(max_epochs=3, overfit_batches=2, callbacks=[seen]).fit(module, data)
    assert seen.sums == seen.sums[:2] * 3


def test_a_loader_that_is_made_again_each_epoch_goes_on(kind, trainer_with, seen):
    seen = type(seen)(), type(seen)()
    for again, callback in enumerate(seen):
        module, data = kind.make()
        trainer = trainer_with(
            max_epochs=3, reload_dataloaders_every_n_epochs=again, callbacks=[callback]
        )
        trainer.fit(module, data)
        assert data.examples_consumed == len(callback.sums) * data.batch_size
    assert seen[0].sums == seen[1].sums


@pytest.mark.parametrize("algorithm", ["value", "norm"])
def test_gradients_are_clipped_as_the_trainer_says(kind, trainer_with, algorithm):
    class Gradients(pl.Callback):
        def on_before_optimizer_step(self, trainer, pl_module, optimizer):
            """Lightning clips after this; the step that follows has clipped them."""

        def on_before_zero_grad(self, trainer, pl_module, optimizer):
            parts = [p.grad.flatten() for p in pl_module.parameters() if p.grad is not None]
            if parts:
                found.append(torch.cat(parts))

    found = []
    module, data = kind.make()
    trainer = trainer_with(
        max_steps=2,
        gradient_clip_val=1e-3,
        gradient_clip_algorithm=algorithm,
        callbacks=[Gradients()],
    )
    trainer.fit(module, data)
    gradient = found[-1]
    if algorithm == "value":
        assert gradient.abs().max() == pytest.approx(1e-3)
        assert gradient.norm() > 2e-3
    else:
        assert gradient.norm() == pytest.approx(1e-3, rel=1e-3)


def test_loaders_of_ones_own_are_trained_and_validated_on(kind, trainer_with):
    module, data = kind.make()
    trainer = trainer_with(max_epochs=2)
    trainer.fit(module, batches_of(data), batches_of(data))
    assert trainer.global_step == 6
    assert trainer.callback_metrics["val_loss"].isfinite()
    trainer.fit_loop.max_epochs = 4
    trainer.fit(module, batches_of(data), batches_of(data))  # a second fit of the same module
    assert trainer.global_step == 12
