"""Files of versions before an option existed load, compute and go on as they did."""

import json

import pytest
import torch

import train
from transformer.config.files import load_config
from transformer.config.keys import Config
from transformer.config.run_files import BEFORE_THE_KEY, load_run_config
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
from transformer.training import choices

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
    kept = {k: v for k, v in json.loads(texts["config"]).items() if k not in BEFORE_THE_KEY}
    texts["config"] = json.dumps(kept)
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


def test_muon_multiplies_in_a_run_that_names_no_way(tmp_path, write_inputs):
    write_inputs(tmp_path)
    path = tmp_path / "tiny.yaml"
    assert load_run_config(path).polar == "newton_schulz"
    assert load_run_config(path, {"polar": "auto"}).polar == "auto"
    path.write_text(path.read_text(encoding="utf-8") + "polar: zolotarev\n", encoding="utf-8")
    assert load_run_config(path).polar == "zolotarev"


@pytest.mark.slow
def test_an_older_run_of_muon_goes_on_with_products(train_here, monkeypatch, caplog):
    settings = {"optimizer": "muon", "schedule": "constant", "val_every_steps": 10}
    settings |= {"polar": "newton_schulz", "precision": "float32"}
    whole = train_here(**settings, max_steps=20, run_name="whole")
    folder = train_here(**settings, max_steps=10, run_name="older")
    make_older(folder / "checkpoints" / "last.ckpt")
    config = folder / "config.yaml"
    lines = config.read_text(encoding="utf-8").splitlines(keepends=True)
    config.write_text("".join(x for x in lines if not x.startswith("polar")), encoding="utf-8")
    monkeypatch.setattr(
        choices, "seconds_of", lambda _, ways, *__, **___: {w: float(w < "z") + 0.1 for w in ways}
    )
    caplog.set_level("INFO")
    assert train.main(["--resume", str(folder), "--max_steps", "20"]) == 0
    assert differences(whole, folder) == []
    assert load_config(config).polar == "newton_schulz"
    assert "max_steps 10 -> 20" in caplog.text
    assert "polar" not in caplog.text
