"""The DataModule and the LightningModule in a Trainer of the user's own, as the README shows."""

import json

import pytest
import pytorch_lightning as pl

from transformer import GPT, CharacterDataModule, LanguageModule, load
from transformer.run.comparison import equal

TEXT = "So we beat on, boats against the current, borne back ceaselessly into the past.\n" * 20
QUIET = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False}
QUIET |= {"enable_model_summary": False, "log_every_n_steps": 1}


@pytest.fixture
def data_path(tmp_path, monkeypatch):
    import torch

    torch.manual_seed(0)
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "gatsby.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def make_model(data):
    return GPT(
        vocab_size=data.vocab_size, block_size=17, embedding_dim=22, num_heads=2, num_blocks=1
    )


# Lightning asks for worker processes and warns of files that are there; both are the user's choice.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*exists and is not empty"),
]


def test_a_trainer_of_ones_own_trains_for_max_steps_and_its_checkpoint_generates(
    data_path, tmp_path
):
    data = CharacterDataModule(data_path, block_size=17, batch_size=11, endless=True)
    metadata = {"tokenizer": data.tokenizer_state}
    module = LanguageModule(make_model(data), lr=1e-2, metadata=metadata)
    trainer = pl.Trainer(
        max_epochs=-1, max_steps=40, val_check_interval=20, check_val_every_n_epoch=None, **QUIET
    )
    trainer.fit(module, data)
    trainer.save_checkpoint("mine.ckpt")

    assert trainer.global_step == 40
    assert trainer.callback_metrics["val_loss"] < 2.5  # 3.3 is ln of the 26 symbols
    generator = load(tmp_path / "mine.ckpt", "cpu", "float32")
    text = generator.generate("So we", max_new_tokens=20, seed=1)[0]
    assert text.startswith("So we")
    assert set(text) <= set(TEXT)
    assert equal(generator.model.state_dict(), module.model.state_dict())


def test_a_trainer_with_max_epochs_passes_over_every_chunk(data_path, tmp_path, capsys):
    import generate

    data = CharacterDataModule(data_path, block_size=17, batch_size=11, stride="block_size")
    steps_per_epoch = -(-data.num_examples // 11)
    module = LanguageModule(
        make_model(data),
        lr=1e-2,
        schedule="constant",
        total_steps=2 * steps_per_epoch,
        metadata={"tokenizer": data.tokenizer_state},
    )
    trainer = pl.Trainer(max_epochs=2, default_root_dir=tmp_path, **QUIET)
    trainer.fit(module, data)

    assert trainer.global_step == 2 * steps_per_epoch
    assert data.examples_consumed == 2 * steps_per_epoch * 11
    (checkpoint,) = tmp_path.rglob("*.ckpt")  # Lightning's own, by its own callback
    assert generate.main([str(checkpoint), "--prompt", "boats", "--max_new_tokens", "9"]) == 0
    assert capsys.readouterr().out.startswith("boats")


def test_evaluate_scores_a_lightning_checkpoint_on_a_named_file(data_path, capsys):
    import evaluate

    data = CharacterDataModule(data_path, block_size=17, batch_size=11, endless=True)
    metadata = {"tokenizer": data.tokenizer_state}
    module = LanguageModule(make_model(data), lr=1e-2, metadata=metadata)
    pl.Trainer(max_epochs=-1, max_steps=2, **QUIET).fit(module, data)
    module.trainer.save_checkpoint("mine.ckpt")

    assert evaluate.main(["mine.ckpt", "--data_path", str(data_path), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["split"] == "whole file"
    assert report["scores"]["model"]["num_scored"] == len(TEXT) - 1


def test_an_endless_run_without_a_length_says_what_to_give(data_path):
    data = CharacterDataModule(data_path, block_size=17, batch_size=11, endless=True)
    module = LanguageModule(make_model(data), lr=1e-2)
    trainer = pl.Trainer(max_epochs=1, enable_checkpointing=False, **QUIET)
    with pytest.raises(ValueError, match=r"give total_steps, Trainer\(max_steps=\)"):
        trainer.fit(module, data)
