"""A text and pairs, each with its module and data, for a Trainer of the user's own."""

from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch

from transformer import (
    GPT,
    CharacterDataModule,
    EncoderDecoder,
    LanguageModule,
    PairDataModule,
    PairModule,
    load,
    load_translator,
)

QUIET = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False}
QUIET |= {"enable_progress_bar": False, "enable_model_summary": False}
WIDTH = {"embedding_dim": 22, "num_heads": 2, "num_blocks": 1}
TEXT = "So we beat on, boats against the current, borne back ceaselessly into the past.\n" * 20
WORDS = [f"{a}{b}{c}" for a in "abcde" for b in "fghij" for c in "klmno"]


@pytest.fixture(params=["text", pytest.param("pairs", marks=pytest.mark.slow)])
def kind(request, tmp_path, monkeypatch):
    """Makes the module and the data of a small text or of words to be reversed."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    pairs = "".join(f"{word}\t{word[::-1]}\n" for word in WORDS)
    (tmp_path / "pairs.tsv").write_text(pairs, encoding="utf-8")

    def text(**settings):
        path = tmp_path / "text.txt"
        data = CharacterDataModule(path, block_size=17, batch_size=11, stride="block_size")
        model = GPT(**data.sizes, block_size=17, **WIDTH)
        return LanguageModule(model, **{"lr": 1e-2} | settings), data

    def pairs_of_words(**settings):
        data = PairDataModule(tmp_path / "pairs.tsv", block_size=5, batch_size=11)
        model = EncoderDecoder(**data.sizes, block_size=5, **WIDTH)
        return PairModule(model, **{"lr": 1e-2} | settings), data

    return SimpleNamespace(
        make=text if request.param == "text" else pairs_of_words,
        load=load if request.param == "text" else load_translator,
        words=WORDS,
        units=["loss", "bits_per_char", "bits_per_byte"] if request.param == "text" else ["loss"],
    )


@pytest.fixture
def trainer_with():
    """Trainers that say nothing, with settings."""
    return lambda **settings: pl.Trainer(**QUIET | settings)


class Seen(pl.Callback):
    """The sums of the batches that were trained on, and the learning rates at their ends."""

    def __init__(self):
        self.sums, self.rates = [], []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.sums.append(int(batch[0].sum()))
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])


@pytest.fixture
def seen():
    return Seen()
