"""Files of encoder-decoders: shared matrices once, two vocabularies, and what does not fit."""

import pytest
import torch
from safetensors import safe_open

from transformer.data.tokenizers.pairs import PairTokenizer, UnitTokenizer
from transformer.run.comparison import equal
from transformer.storage.metadata import METADATA_KEY, encode_metadata
from transformer.storage.model_file import load_model, save_model
from transformer.system.errors import UserError

SHARED = {"shared_vocabulary": True, "source_vocab_size": 13}
TIED_NAMES = {"source_embedding.weight", "token_embedding.weight", "lm_head.weight"}


def letters(size):
    return UnitTokenizer("characters", [chr(ord("a") + i) for i in range(size)])


def metadata_of(model, **sides):
    """Of a tokenizer with as many units as the model's sizes less the special ids."""
    sizes = {"source": model.architecture["source_vocab_size"] - 3, "target": 10} | sides
    tokenizer = PairTokenizer(letters(sizes["source"]), letters(sizes["target"]))
    return {"architecture": model.architecture, "tokenizer": tokenizer.state}


def names_in(path):
    with safe_open(path, framework="pt") as file:
        return set(file.keys())


def write_ckpt(path, model):
    """Which, as Lightning writes it, has a shared matrix under each of its names."""
    content = {
        "state_dict": {f"model.{name}": t for name, t in model.state_dict().items()},
        METADATA_KEY: encode_metadata(metadata_of(model), model.state_dict()),
    }
    torch.save(content, path)


@pytest.mark.parametrize("suffix", ["safetensors", "ckpt"])
@pytest.mark.parametrize(
    ("options", "num_kept"),
    [
        (SHARED, 1),
        (SHARED | {"tie_weights": False}, 2),
        ({}, 2),
        ({"tie_weights": False}, 3),
        (SHARED | {"ngram_size": 3, "ngram_buckets": 17}, 1),
        ({"positions": "rotary", "norm_first": True, "qk_norm": True, "activation": "swiglu"}, 2),
    ],
    ids=str,
)
def test_a_model_comes_back_bit_for_bit(make_encoder_decoder, tmp_path, options, num_kept, suffix):
    model, path = make_encoder_decoder(**options), tmp_path / f"model.{suffix}"
    if suffix == "ckpt":
        write_ckpt(path, model)
    else:
        save_model(path, model, metadata_of(model))
        assert len(names_in(path) & TIED_NAMES) == num_kept
    saved = load_model(path)
    assert saved.architecture == model.architecture
    assert isinstance(saved.tokenizer, PairTokenizer)
    assert equal(saved.model.state_dict(), model.state_dict())
    matrices = {id(saved.model.get_parameter(name)) for name in TIED_NAMES}
    assert len(matrices) == num_kept
    source, tokens = torch.tensor([[3, 9, 4]]), torch.tensor([[1, 7, 2, 11]])
    assert torch.equal(saved.model(source, tokens), model(source, tokens))


@pytest.mark.parametrize(
    ("sides", "match"),
    [
        ({"source": 13}, "source_vocab_size=17, but the tokenizer has 16"),
        ({"target": 11}, " vocab_size=13, but the tokenizer has 14"),
    ],
)
def test_a_tokenizer_of_another_size_is_refused(make_encoder_decoder, tmp_path, sides, match):
    model, path = make_encoder_decoder(), tmp_path / "model.safetensors"
    save_model(path, model, metadata_of(model, **sides))
    with pytest.raises(UserError, match=match) as caught:
        load_model(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_file_without_its_shared_matrix_is_refused(make_encoder_decoder, tmp_path):
    model, path = make_encoder_decoder(**SHARED), tmp_path / "model.safetensors"
    weights = {n: t for n, t in model.state_dict().items() if n not in TIED_NAMES}
    model.state_dict = lambda: weights
    save_model(path, model, metadata_of(model))
    with pytest.raises(UserError, match=r"tensor token_embedding.weight is missing"):
        load_model(path)
