"""Models of each class of transformers, with drawn weights and tokenizers of each kind."""

from functools import cache
from pathlib import Path

import pytest

from tests.command_line.conftest import TEXT
from tests.conftest import draw_weights
from transformer.data.tokenizers.bpe import BpeTokenizer
from transformer.data.tokenizers.bytes import ByteTokenizer
from transformer.data.tokenizers.characters import CharacterTokenizer

BLOCK_SIZE = 37
LLAMA = {"positions": "rotary", "norm": "rmsnorm", "activation": "swiglu", "bias": False}
CLASSES = {
    "GPT2LMHeadModel": {"activation": "gelu_tanh"},
    "LlamaForCausalLM": LLAMA,
    "Qwen3ForCausalLM": LLAMA | {"qk_norm": True},
}
TOKENIZERS = ("characters", "bytes", "bpe")


@pytest.fixture(autouse=True)
def quiet():
    """The library says much on stderr."""
    transformers = pytest.importorskip("transformers")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()


@pytest.fixture(autouse=True)
def few_texts(request, monkeypatch):
    """Comparing 1,000 strings takes a second in each export."""
    if "all_texts" not in request.fixturenames:
        monkeypatch.setattr("transformer.export.comparison.NUM_TEXTS", 20)


@pytest.fixture
def all_texts():
    """The test compares as many strings as export.py does."""


@cache
def tokenizer_of(name):
    if name == "bpe":
        return BpeTokenizer.from_text(TEXT + "漢字 🙂 naïve\n" * 4, vocab_size=300)
    return ByteTokenizer() if name == "bytes" else CharacterTokenizer.from_text(TEXT + "é漢🙂")


@pytest.fixture
def make_saved():
    """A model in torch's default number format, as it comes from a file."""
    from transformer.models import build_model
    from transformer.storage.saved_model import SavedModel

    def make(class_name="GPT2LMHeadModel", tokenizer="characters", model="gpt", **changes):
        made = tokenizer_of(tokenizer)
        sizes = {"embedding_dim": 24, "num_heads": 6, "num_blocks": 2, "block_size": BLOCK_SIZE}
        sizes = sizes if model == "gpt" else {"block_size": BLOCK_SIZE}
        shape = sizes | made.sizes | (CLASSES[class_name] if model == "gpt" else {}) | changes
        network = build_model(model, **shape).eval()
        draw_weights(network)
        config = {"data_path": "/home/someone/book.txt", "sample_prompt": "To "}
        results, corpus = {"val_loss": 1.5}, {"num_characters": 12345}
        facts = {"config": config, "corpus": corpus, "results": results}
        return SavedModel(Path("model"), network, made, network.architecture, **facts)

    return make


@pytest.fixture
def exported(tmp_path):
    """Exports a model into a folder, and gives the folder and what is said."""
    from transformer.export.exporting import export
    from transformer.export.options import ExportOptions
    from transformer.export.registry import FORMATS

    def call(saved, name="out", to="huggingface", force=False, **flags):
        options = ExportOptions(to=to, out=str(tmp_path / name), force=force, **flags)
        kind = FORMATS[to](options)
        place = kind.place(options.out, force=force)
        place.check()
        return tmp_path / name, list(export(saved, kind, place))

    return call
