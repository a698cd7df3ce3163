"""A step that the module makes itself equals Lightning's; on a GPU, as one graph."""

import pytest
import pytorch_lightning as pl
import torch

from transformer.data.text.datamodule import CharacterDataModule
from transformer.models import build_model
from transformer.training.lightning_module import LanguageModule
from transformer.training.step_graph import WARMUP_STEPS, captured

SIZES = {"block_size": 16, "embedding_dim": 24, "num_heads": 2, "num_blocks": 2}
STEPS = WARMUP_STEPS + 5
SETTINGS = {"lr": 1e-2, "total_steps": STEPS, "warmup_steps": 4, "grad_clip": 0.5}
each_optimizer = pytest.mark.parametrize("optimizer", ["adamw", "muon"])


@pytest.fixture
def trained(tmp_path):
    """`trained(kind, device, ...)` trains on a short text; returns the module and its Trainer."""
    path = tmp_path / "text.txt"
    path.write_text("so we beat on, boats against the current\n" * 30, encoding="utf-8")

    def train(kind, device="cpu", callbacks=(), losses=True, **settings):
        torch.manual_seed(3)
        data = CharacterDataModule(path, batch_size=5, block_size=16, endless=True)
        more = {"dropout": 0.2, "ngram_size": 2, "token_shift": True, "tie_weights": False}
        model = build_model("gpt", **data.sizes, **SIZES, **more)
        module = kind(model, **SETTINGS | settings)
        seen = Losses()
        shown = [seen] if losses else []
        trainer = pl.Trainer(
            accelerator=device,
            devices=1,
            precision="bf16-mixed" if device == "cuda" else "32-true",
            max_steps=STEPS,
            limit_val_batches=0,
            logger=False,
            callbacks=[*callbacks, *shown],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(module, data)
        return module, trainer, seen.losses

    return train


def weights(module):
    return {name: tensor.cpu().clone() for name, tensor in module.model.state_dict().items()}


class Losses(pl.Callback):
    def __init__(self):
        self.losses = []

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.losses.append(outputs["loss"].item())


@each_optimizer
def test_the_modules_own_steps_are_lightnings(trained, optimizer):
    usual, _, losses = trained(LanguageModule, optimizer=optimizer)
    own, trainer, own_losses = trained(captured(LanguageModule), optimizer=optimizer)
    assert trainer.global_step == STEPS
    assert own_losses == pytest.approx(losses)
    torch.testing.assert_close(weights(own), weights(usual))


def test_a_step_whose_gradient_is_not_finite_changes_nothing(trained):
    """Neither weights nor moments; it is counted."""
    module, trainer, _ = trained(captured(LanguageModule), optimizer="muon")
    before = weights(module)
    with torch.no_grad():
        module.model.lm_head.weight.fill_(float("inf"))
    (batch,) = [next(iter(trainer.train_dataloader))]
    module.training_step(batch, 0)
    after = weights(module)
    assert module.skipped_steps == 1
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"lm_head.weight"}


@pytest.mark.gpu
@each_optimizer
def test_a_recorded_step_is_the_step_that_was_recorded(trained, optimizer, monkeypatch):
    recorded, _, recorded_losses = trained(captured(LanguageModule), "cuda", optimizer=optimizer)
    assert recorded._graph is not None
    monkeypatch.setattr("transformer.training.step_graph.WARMUP_STEPS", STEPS)
    eager, _, losses = trained(captured(LanguageModule), "cuda", optimizer=optimizer)
    assert eager._graph is None
    assert recorded_losses == losses  # dropout draws the same numbers too
    for name, tensor in weights(eager).items():
        assert torch.equal(weights(recorded)[name], tensor), name


class OtherShape(pl.Callback):
    """After the step that was recorded, a step with a part of the batch."""

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        if trainer.global_step == WARMUP_STEPS + 2:
            assert module._graph is not None
            before = weights(module)
            module.training_step([part[:2] for part in batch], 0)
            after = weights(module)
            assert all(not torch.equal(before[name], after[name]) for name in before)


@pytest.mark.gpu
def test_a_batch_of_another_shape_takes_an_ordinary_step(trained):
    trained(captured(LanguageModule), "cuda", callbacks=[OtherShape()], optimizer="muon")


class NoWaiting(pl.Callback):
    """After the first steps, makes an error of every operation in which the host waits."""

    def on_train_batch_start(self, trainer, *_, **__):
        if trainer.global_step == WARMUP_STEPS + 1:
            torch.cuda.set_sync_debug_mode("error")

    def on_train_batch_end(self, trainer, *_, **__):
        if trainer.global_step == STEPS - 1:
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype feature")
@pytest.mark.parametrize("kind", [LanguageModule, captured(LanguageModule)])
def test_no_step_waits_for_the_gpu(trained, kind):
    try:
        trained(kind, "cuda", callbacks=[NoWaiting()], losses=False, optimizer="muon")
    finally:
        torch.cuda.set_sync_debug_mode("default")
