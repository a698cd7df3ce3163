"""Whole files whose tensors, sizes or texts do not fit each other."""

import math
import sys

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from transformer.models.bigram import Bigram
from transformer.storage.metadata import CHECKSUM, METADATA_KEY, checksum, encode_metadata
from transformer.storage.model_file import load_model, save_model
from transformer.system.errors import UserError

VOCABULARY = "\n abcdefghijk"


@pytest.fixture
def rewrite(tmp_path, make_gpt):
    """Writes a model with other tensors or texts, in both kinds of file; gives their paths."""

    def write(tensors=None, texts=None, architecture=None, **options):
        model = make_gpt(**options)
        parts = {
            "architecture": model.architecture | (architecture or {}),
            "tokenizer": {"kind": "character", "vocabulary": VOCABULARY},
        }
        paths = tmp_path / "model.safetensors", tmp_path / "last.ckpt"
        save_model(paths[0], model, parts)
        with safe_open(paths[0], framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no dict)
        state = {n: t for n, t in (state | (tensors or {})).items() if t is not None}
        texts = encode_metadata(parts, state) | (texts or {})
        texts = {n: t for n, t in texts.items() if t is not None and n != CHECKSUM}
        texts[CHECKSUM] = checksum(texts, state)  # what is wrong is not by accident
        save_file(state, paths[0], texts)
        weights = {f"model.{name}": tensor for name, tensor in state.items()}
        torch.save({"state_dict": weights, METADATA_KEY: texts}, paths[1])
        return paths

    return write


def reject(paths, message):
    for path in paths:
        with pytest.raises(UserError, match=message) as caught:
            load_model(path)
        assert str(caught.value).startswith(str(path))
        assert "\n" not in str(caught.value)


def test_the_untouched_files_load(rewrite):
    for path in rewrite():
        load_model(path)


def test_a_missing_tensor_is_named(rewrite):
    paths = rewrite({"blocks.1.attention.qkv.weight": None})
    reject(paths, "tensor blocks.1.attention.qkv.weight is missing")
    reject(rewrite({"token_embedding.weight": None}), "token_embedding.weight")
    reject(rewrite({"lm_head.weight": None}, tie_weights=False), "tensor lm_head.weight is missing")


def test_an_extra_tensor_is_named(rewrite):
    reject(rewrite({"extra.weight": torch.zeros(3)}), "tensor extra.weight is not expected")


def test_a_wrong_shape_is_named(rewrite):
    message = r"final_norm.weight has shape \(29,\), not \(30,\)"
    reject(rewrite({"final_norm.weight": torch.zeros(29)}), message)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_weight_that_is_not_finite_is_named(rewrite, bad):
    weight = torch.zeros(30)
    weight[17] = bad
    reject(
        rewrite({"final_norm.bias": weight}), "final_norm.bias holds numbers that are not finite"
    )


@pytest.mark.parametrize("version", ["1", "3", ""])
def test_another_format_version_is_refused(rewrite, version):
    message = f"format_version {version!r}, but this program reads '2': .* a newer program"
    reject(rewrite(texts={"format_version": version}), message)


@pytest.mark.parametrize(
    "texts",
    [
        {"architecture": None},
        {"architecture": "{"},
        {"architecture": "[]"},
        {"architecture": "3"},
        {"tokenizer": "null"},
        {"tokenizer": '{"kind": "wordpiece"}'},
        {"tokenizer": '{"kind": ["character"], "vocabulary": "ab"}'},
        {"tokenizer": '{"kind": "character", "vocabulary": "ba"}'},
    ],
    ids=str,
)
def test_texts_that_are_damaged_are_refused(rewrite, texts):
    reject(rewrite(texts=texts), "damaged or not a model of this program")


def test_a_tokenizer_of_another_size_than_the_model_is_refused(rewrite):
    texts = {"tokenizer": '{"kind": "character", "vocabulary": "abc"}'}
    reject(rewrite(texts=texts), "vocab_size=13, but the tokenizer has 3")


@pytest.mark.parametrize(
    "architecture",
    [
        {"model": "lstm"},
        {"positions": "alibi"},
        {"num_heads": 0},
        {"num_heads": -3},
        {"num_heads": 4},
        {"num_heads": "3"},
        {"num_blocks": -1},
        {"block_size": -1},
        {"block_size": 5},
        {"embedding_dim": 0},
        {"embedding_dim": None},
        {"embedding_dim": math.inf},
        {"vocab_size": 10**7},
        {"unknown": 1},
    ],
    ids=str,
)
def test_an_architecture_that_does_not_fit_the_tensors_is_refused(rewrite, architecture):
    reject(rewrite(architecture=architecture), "damaged or not a model of this program")


def peak_memory_bytes():
    resource = pytest.importorskip("resource", reason="Windows has no such module")
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


@pytest.mark.parametrize(
    "architecture",
    [
        {"embedding_dim": 3 * 10**7},
        {"embedding_dim": 3 * 10**30},
        {"feedforward_dim": 10**9},
        {"num_blocks": 10**9},
        {"block_size": 10**9},
        {"block_size": 10**9, "positions": "rotary"},
        {"block_size": 10**9, "positions": "sinusoidal"},
        {"block_size": 2**20, "positions": "sinusoidal", "embedding_dim": 3000},
    ],
    ids=str,
)
def test_absurd_sizes_cost_no_memory(rewrite, architecture):
    """The least of these would take 2 GB; position tables are in no file to be compared with."""
    paths = rewrite(architecture=architecture, positions=architecture.get("positions", "learned"))
    before = peak_memory_bytes()
    reject(paths, "damaged or not a model of this program")
    assert peak_memory_bytes() - before < 500e6


@pytest.mark.parametrize("weights", [None, [], {3: torch.zeros(2)}, {"model.x": "text"}], ids=str)
def test_a_checkpoint_without_weights_is_refused(tmp_path, weights):
    model, path = Bigram(vocab_size=13, block_size=7), tmp_path / "last.ckpt"
    tokenizer = {"kind": "character", "vocabulary": VOCABULARY}
    texts = encode_metadata({"architecture": model.architecture, "tokenizer": tokenizer}, {})
    torch.save({"state_dict": weights, METADATA_KEY: texts}, path)
    reject([path], "next_token.weight is missing")
