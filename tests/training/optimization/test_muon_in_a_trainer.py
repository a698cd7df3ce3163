"""Muon in a Trainer equals Muon in a plain loop; a resumed run equals an uninterrupted one."""

import pytest
import pytorch_lightning as pl
import torch
from torch.optim.lr_scheduler import LambdaLR

from transformer.run.comparison import equal
from transformer.training.lightning_module import LanguageModule
from transformer.training.optimization.optimizers import make_optimizer
from transformer.training.optimization.schedules import Schedule
from transformer.training.settings import OptimizerSettings

pytestmark = pytest.mark.parity
QUIET = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False}
QUIET |= {"enable_model_summary": False, "enable_checkpointing": False, "max_epochs": -1}
in_a_trainer = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers",  # the user's choice, here none
    "ignore:You defined a `validation_step` but have no `val_dataloader`",
)


def make_muon(model):
    settings = {"weight_decay": 0.1, "beta1": 0.8, "beta2": 0.9, "eps": 1e-8}
    return make_optimizer(model, OptimizerSettings(optimizer="muon", lr=0.02, **settings))


def make_module(make_gpt):
    model = make_gpt(activation="swiglu", qk_norm=True, ngram_size=2).train()
    settings = {"lr": 0.02, "beta1": 0.8, "beta2": 0.9, "grad_clip": 0.1, "weight_decay": 0.1}
    schedule = {"schedule": "cosine", "warmup_steps": 2, "total_steps": 6}
    return LanguageModule(model, optimizer="muon", **settings, **schedule)


def same_batch_forever():
    tokens = torch.randint(13, (3, 8), generator=torch.Generator().manual_seed(0))
    return torch.utils.data.DataLoader([(tokens[:, :-1], tokens[:, 1:])], batch_size=None)


def fit(module, max_steps, ckpt_path=None):
    trainer = pl.Trainer(max_steps=max_steps, **QUIET)
    trainer.fit(module, same_batch_forever(), ckpt_path=ckpt_path, weights_only=True)
    return trainer


@in_a_trainer
def test_lightnings_loop_equals_a_plain_one_with_clipping_and_schedule(make_gpt):
    module, plain = make_module(make_gpt), make_module(make_gpt)
    trainer = fit(module, max_steps=6)
    model, optimizer = plain.model, make_muon(plain.model)
    schedule = LambdaLR(optimizer, Schedule("cosine", 2, 0.6, 0.1, total_steps=6).factor)
    (batch,) = same_batch_forever()
    for _ in range(6):
        optimizer.zero_grad()
        plain.training_step(batch, 0).backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        assert norm > 0.1  # so that clipping is at work
        optimizer.step()
        schedule.step()
    assert len(trainer.optimizers) == 1
    assert equal(module.model.state_dict(), model.state_dict())  # both are one program


@in_a_trainer
def test_a_resumed_run_equals_an_uninterrupted_one(make_gpt, tmp_path):
    whole, first, second = (make_module(make_gpt) for _ in range(3))
    fit(whole, max_steps=6)
    fit(first, max_steps=3).save_checkpoint(tmp_path / "half.ckpt")
    fit(second, max_steps=6, ckpt_path=tmp_path / "half.ckpt")
    assert equal(second.model.state_dict(), whole.model.state_dict())
    assert not equal(first.model.state_dict(), whole.model.state_dict())
