"""Files of versions before an option existed load, compute and go on as they did."""

import json

import pytest
import torch

from transformer.config.keys import Config
from transformer.data.tokenizers.characters import CharacterTokenizer
from transformer.lessons.numpy_reference import load_gpt
from transformer.models.parts.positions import SinusoidalPositions
from transformer.run.comparison import differences
from transformer.storage.metadata import (
    CHECKSUM,
    METADATA_KEY,
    checksum,
    encode_metadata,
    model_tensors,
)
from transformer.storage.model_file import load_model, save_model

NEWER = "position_gain"  # named by no file before sinusoidal positions had one
# Named by no file before heads could share keys; all of them mean what was there before.
OPTIONS = ("rotary_base", "rotary_scaling", "num_kv_heads", "head_dim", "norm_eps")


def older(architecture):
    return {name: value for name, value in architecture.items() if name not in (NEWER, *OPTIONS)}


@pytest.fixture
def model(make_gpt):
    return make_gpt(positions="sinusoidal", position_gain=False)


def metadata_of(model):
    tokenizer = CharacterTokenizer("abcdefghijklm").state
    return {"architecture": older(model.architecture), "tokenizer": tokenizer}


def write_ckpt(path, model):
    metadata = encode_metadata(metadata_of(model), model.state_dict())
    weights = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    torch.save({"state_dict": weights, METADATA_KEY: metadata}, path)


@pytest.mark.parametrize("name", ["model.safetensors", "last.ckpt"])
def test_sinusoidal_positions_of_an_older_file_are_added_as_they_are(name, tmp_path, model):
    path = tmp_path / name
    if path.suffix == ".ckpt":
        write_ckpt(path, model)
    else:
        save_model(path, model, metadata_of(model))
    loaded = load_model(path)
    tokens = torch.tensor([[3, 1, 4, 1, 5, 9, 2]])
    assert type(loaded.model.position_embedding) is SinusoidalPositions
    assert torch.equal(loaded.model(tokens), model(tokens))
    assert loaded.architecture[NEWER] is False


@pytest.mark.usefixtures("float64")
def test_the_numpy_reference_reads_an_older_file_in_the_same_way(tmp_path, model):
    save_model(tmp_path / "model.safetensors", model, metadata_of(model))
    tokens = torch.tensor([[3, 1, 4, 1, 5, 9, 2]])
    logits = torch.from_numpy(load_gpt(tmp_path / "model.safetensors").forward(tokens.numpy()))
    torch.testing.assert_close(logits, model(tokens), rtol=0, atol=1e-10)  # the same in float64


def make_older(checkpoint):
    """Takes what an older program did not write from a run's checkpoint."""
    content = torch.load(checkpoint, weights_only=True)
    texts = content[METADATA_KEY]
    texts["architecture"] = json.dumps(older(json.loads(texts["architecture"])))
    del texts[CHECKSUM]
    texts[CHECKSUM] = checksum(texts, model_tensors(content["state_dict"]))
    torch.save(content, checkpoint)


@pytest.mark.slow
def test_an_older_run_goes_on_as_it_would_have(train_here, monkeypatch):
    settings = {"positions": "sinusoidal", "schedule": "constant", "val_every_steps": 10}
    with monkeypatch.context() as before:
        named = Config.architecture
        before.setattr(Config, "architecture", lambda *a, **k: named(*a, **k) | {NEWER: False})
        whole = train_here(**settings, max_steps=20, run_name="whole")
        folder = train_here(**settings, max_steps=10, run_name="older")
    last = folder / "checkpoints" / "last.ckpt"
    make_older(last)
    train_here(str(folder / "config.yaml"), resume=last, max_steps=20)
    assert differences(whole, folder) == []
