"""Lightning's tuner, callbacks and loggers work with the modules and the data modules."""

import csv
from pathlib import Path

import pytest
from pytorch_lightning.callbacks import (
    EarlyStopping,
    EMAWeightAveraging,
    LearningRateFinder,
    LearningRateMonitor,
    ModelCheckpoint,
    StochasticWeightAveraging,
)
from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.tuner import Tuner


def test_the_rate_that_lightning_finds_is_the_one_that_is_trained_with(kind, trainer_with, seen):
    module, data = kind.make(warmup_steps=0)
    trainer = trainer_with(max_steps=3, callbacks=[seen])
    finder = Tuner(trainer).lr_find(module, datamodule=data, num_training=20)
    assert module.lr == module.hparams.lr == finder.suggestion()
    trainer.fit(module, data)
    assert seen.rates[0] == module.lr


def test_the_finder_as_a_callback_sets_the_rate_too(kind, trainer_with, seen):
    module, data = kind.make(warmup_steps=0)
    finder = LearningRateFinder(num_training_steps=20)
    trainer_with(max_steps=3, callbacks=[finder, seen]).fit(module, data)
    assert module.lr == finder.optimal_lr.suggestion() != 1e-2
    assert seen.rates[-3] == module.lr


def test_lightning_finds_a_batch_size(kind, trainer_with):
    module, data = kind.make()
    tuner = Tuner(trainer_with(max_steps=3))
    found = tuner.scale_batch_size(module, datamodule=data, init_val=3, max_trials=2)
    assert found == data.batch_size == 6


# Lightning's words for a schedule by steps, which the averaging takes the place of at an epoch.
@pytest.mark.filterwarnings("ignore:SWA is currently only supported every epoch")
@pytest.mark.parametrize(
    "callback",
    [lambda: StochasticWeightAveraging(1e-2, swa_epoch_start=2), EMAWeightAveraging],
    ids=["swa", "ema"],
)
def test_weights_are_averaged(kind, trainer_with, callback):
    module, data = kind.make()
    trainer = trainer_with(max_epochs=4, limit_train_batches=2, callbacks=[callback()])
    trainer.fit(module, data)
    assert trainer.global_step == 8
    assert trainer.validate(module, data, verbose=False)[0]["val_loss"] < 4


def test_callbacks_follow_the_logged_names_and_a_csv_has_them(kind, trainer_with):
    module, data = kind.make(schedule="constant")
    checkpoint = ModelCheckpoint("kept", "{epoch}-{val_loss:.2f}", monitor="val_loss")
    callbacks = [checkpoint, EarlyStopping("val_loss"), LearningRateMonitor("step")]
    logger = CSVLogger(".")
    settings = {"logger": logger, "callbacks": callbacks, "enable_checkpointing": True}
    trainer = trainer_with(max_epochs=2, log_every_n_steps=1, **settings)
    trainer.fit(module, data)
    trainer.test(module, data, ckpt_path="best", verbose=False)
    assert f"val_loss={checkpoint.best_model_score:.2f}" in checkpoint.best_model_path
    with open(f"{logger.log_dir}/metrics.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    steps = {name: [int(r["step"]) for r in rows if r.get(name)] for name in rows[0]}
    per_epoch = trainer.global_step // 2
    assert steps["train_loss"] == steps["lr"] == [*range(1, trainer.global_step + 1)]
    assert steps["val_loss"] == [per_epoch, 2 * per_epoch]
    assert len(steps["test_loss"]) == 1


# Lightning's advice, for a run as short as this.
@pytest.mark.filterwarnings("ignore:The number of training batches")
def test_a_short_run_has_logged_its_losses(kind, trainer_with):
    module, data = kind.make()
    logger = CSVLogger(".")
    trainer = trainer_with(max_steps=3, logger=logger)
    trainer.fit(module, data)
    assert 0 < trainer.callback_metrics["train_loss"] < 9
    content = Path(logger.log_dir, "metrics.csv").read_text(encoding="utf-8")
    assert "train_loss" in content.splitlines()[0]


def test_the_progress_bar_has_both_losses(kind, trainer_with):
    module, data = kind.make()
    trainer = trainer_with(max_epochs=1, log_every_n_steps=1)
    trainer.fit(module, data)
    assert {"train_loss", "val_loss"} <= set(trainer.progress_bar_metrics)
    assert "val_bits_per_char" not in trainer.progress_bar_metrics


def test_a_summary_shows_sizes_of_an_example(kind, trainer_with):
    module, data = kind.make()
    *inputs, _ = next(iter(data.val_dataloader()))
    module.example_input_array = tuple(inputs)
    trainer_with(max_steps=1, enable_model_summary=True).fit(module, data)
    assert module.example_input_array is not None
