"""Models saved and loaded: the same bits, the same text, and clear words for every wrong file."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from transformer.data.tokenizers.characters import CharacterTokenizer
from transformer.generation.text import TextGenerator, load
from transformer.models.bigram import Bigram
from transformer.run.comparison import equal
from transformer.storage.metadata import METADATA_KEY, encode_metadata
from transformer.storage.model_file import load_model, save_model
from transformer.system.errors import UserError

TOKENIZER = CharacterTokenizer("\n abcdefghijé")  # 13 characters: as many as make_gpt's tokens
OPTIONS = [
    {},
    {"tie_weights": False},
    {"positions": "sinusoidal", "norm_first": False},
    {"positions": "rotary", "norm": "rmsnorm", "activation": "swiglu", "bias": False},
    {"positions": "none", "activation": "relu2", "feedforward_dim": 17, "dropout": 0.5},
]


def metadata_of(model, **architecture):
    return {
        "architecture": model.architecture | architecture,
        "tokenizer": TOKENIZER.state,
        "config": {"lr": 3e-4, "data_path": "data/ä.txt"},
        "corpus": {"sha256": "0" * 64},
        "results": {"best_step": 5, "val_loss": 1.5},
    }


def write_ckpt(path, model, **changes):
    """The parts of Lightning's checkpoint that matter, beside others that do not."""
    content = {
        "state_dict": {f"model.{name}": t for name, t in model.state_dict().items()},
        "optimizer_states": [{"lr": 0.1}],
        METADATA_KEY: encode_metadata(metadata_of(model), model.state_dict()),
    }
    torch.save(content | changes, path)


@pytest.fixture(params=["model.safetensors", "last.ckpt"])
def saved(request, tmp_path, make_gpt):
    """A whole file of either kind."""
    path, model = tmp_path / request.param, make_gpt()
    if path.suffix == ".ckpt":
        write_ckpt(path, model)
    else:
        save_model(path, model, metadata_of(model))
    return path


def rejects(path, message):
    """One line that begins with the path."""
    with pytest.raises(UserError, match=message) as caught:
        load_model(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("write", [None, write_ckpt], ids=["safetensors", "ckpt"])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_model_comes_back_bit_by_bit(tmp_path, make_gpt, options, write):
    model = make_gpt(**options)
    path = tmp_path / ("last.ckpt" if write else "model.safetensors")
    if write:
        write(path, model)
    else:
        save_model(path, model, metadata_of(model))
    loaded = load_model(path)
    assert equal(loaded.model.state_dict(), model.state_dict())
    assert not loaded.model.training
    tokens = torch.arange(7)[None]
    assert torch.equal(loaded.model(tokens), model(tokens))
    tied = loaded.model.lm_head.weight is loaded.model.token_embedding.weight
    assert tied == model.architecture["tie_weights"]


def test_a_bigram_model_comes_back_too(tmp_path, generator):
    model = Bigram(vocab_size=13, block_size=7)
    torch.nn.init.normal_(model.next_token.weight, generator=generator)
    save_model(tmp_path / "model.safetensors", model, metadata_of(model))
    loaded = load_model(tmp_path / "model.safetensors")
    assert torch.equal(loaded.model.next_token.weight, model.next_token.weight)


def test_the_metadata_comes_back_as_it_was(saved, make_gpt):
    loaded, expected = load_model(saved), metadata_of(make_gpt())
    assert loaded.architecture == expected["architecture"]
    assert loaded.tokenizer.vocabulary == TOKENIZER.vocabulary
    assert (loaded.config, loaded.corpus) == (expected["config"], expected["corpus"])
    assert loaded.results == expected["results"]
    assert loaded.path == saved


def test_the_same_text_after_loading(saved, make_gpt):
    settings = {"prompt": "abé", "max_new_tokens": 23, "num_samples": 2, "seed": 5}
    expected = TextGenerator(make_gpt(), TOKENIZER).generate(**settings)
    assert load(saved, "cpu", "float32").generate(**settings) == expected


def test_a_tied_matrix_is_stored_once(tmp_path, make_gpt):
    for tied in (True, False):
        path = tmp_path / f"{tied}.safetensors"
        model = make_gpt(tie_weights=tied)
        save_model(path, model, metadata_of(model))
        with safe_open(path, framework="pt") as file:
            assert ("lm_head.weight" in file.keys()) != tied  # noqa: SIM118 (no dict)


def test_saving_replaces_the_old_file_and_leaves_no_other(tmp_path, make_gpt):
    path = tmp_path / "folder" / "model.safetensors"
    for num_blocks in (2, 1):
        model = make_gpt(num_blocks=num_blocks)
        save_model(path, model, metadata_of(model))
    assert load_model(path).architecture["num_blocks"] == 1
    assert list(path.parent.iterdir()) == [path]


def test_saving_and_loading_leave_the_global_generator_alone(saved):
    before = torch.get_rng_state()
    load_model(saved)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.slow
def test_a_checkpoint_of_lightning_loads_without_lightning(tmp_path, make_gpt):
    import pytorch_lightning as pl

    from transformer.training.lightning_module import LanguageModule

    model, path = make_gpt(), tmp_path / "last.ckpt"
    module = LanguageModule(model, lr=0.1, total_steps=3, metadata=metadata_of(model))
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = pl.Trainer(accelerator="cpu", enable_checkpointing=False, **quiet)
    trainer.strategy.connect(module)
    trainer.save_checkpoint(path)
    program = (
        "import json, sys, transformer\n"
        f"generator = transformer.load({str(path)!r}, 'cpu', 'float32')\n"
        "texts = generator.generate('ab', max_new_tokens=23)\n"
        "print(json.dumps([texts, sorted(n for n in sys.modules if 'lightning' in n)]))"
    )
    command = [sys.executable, "-c", program]
    root = Path(__file__).parents[2]
    output = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout
    texts, modules = json.loads(output)
    assert modules == []
    assert texts == TextGenerator(model, TOKENIZER).generate("ab", max_new_tokens=23)


@pytest.mark.parametrize("name", ["model.safetensors", "last.ckpt"])
def test_what_is_no_file_is_refused(tmp_path, name):
    rejects(tmp_path / name, "no such checkpoint")
    (tmp_path / name).mkdir()
    rejects(tmp_path / name, "is a folder, not a checkpoint")


@pytest.mark.parametrize("name", ["model.safetensors", "last.ckpt"])
@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 1000])
def test_an_empty_file_and_random_bytes_are_refused(tmp_path, name, size):
    noise = torch.randint(256, (size,), generator=torch.Generator().manual_seed(size))
    (tmp_path / name).write_bytes(bytes(noise.tolist()))
    rejects(tmp_path / name, "truncated or not a" if size else "the file is empty")


@pytest.mark.parametrize("kept", [0.01, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(saved, kept):
    content = saved.read_bytes()
    saved.write_bytes(content[: int(kept * len(content))])
    rejects(saved, "truncated or not a")


def test_files_of_other_programs_are_refused(tmp_path):
    tensors = {"weight": torch.zeros(2, 3)}
    save_file(tensors, tmp_path / "model.safetensors")
    rejects(tmp_path / "model.safetensors", "has no format_version")
    save_file(tensors, tmp_path / "other.safetensors", {"format": "pt"})
    rejects(tmp_path / "other.safetensors", "has no format_version")
    torch.save({"state_dict": tensors, "epoch": 3}, tmp_path / "other.ckpt")
    rejects(tmp_path / "other.ckpt", "not a checkpoint of this program: it has no 'transformer'")
    torch.save([1, 2], tmp_path / "list.ckpt")
    rejects(tmp_path / "list.ckpt", "not a checkpoint of this program")


class Payload:
    """Touches a file where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_code_in_a_checkpoint_is_not_run(tmp_path, make_gpt):
    mark, path = tmp_path / "ran", tmp_path / "last.ckpt"
    write_ckpt(path, make_gpt(), extra=Payload(mark))
    rejects(path, "could run code: not loaded")
    assert not mark.exists()
    torch.load(path, weights_only=False)
    assert mark.exists()  # the trap works: only the loader kept it shut


@pytest.mark.parametrize("name", ["last.ckpt", "model.safetensors"])
def test_a_bare_pickle_is_not_run(tmp_path, name):
    mark, path = tmp_path / "ran", tmp_path / name
    path.write_bytes(pickle.dumps(Payload(mark)))
    rejects(path, "truncated or not a")
    assert not mark.exists()
