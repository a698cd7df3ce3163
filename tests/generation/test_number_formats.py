"""Number formats of a trained model: what they do to weights, logits and losses."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from transformer.data.tokenizers.characters import CharacterTokenizer
from transformer.generation.number_formats import (
    LEAST_WIDTH,
    MOST_INT8_ROWS,
    Int8Linear,
    convert,
    fastest_format,
)
from transformer.generation.text import load
from transformer.storage.model_file import save_model
from transformer.system.errors import UserError

pytestmark = pytest.mark.parity
VOCABULARY = "\n abcdefghijk"  # 13 characters: as many as the tokens of make_gpt
IN, OUT = 48, 13
WIDE = {"embedding_dim": 96, "num_heads": 3}  # as make_gpt's 30 does not fit the kernel


@pytest.fixture
def linear(generator):
    layer = nn.Linear(IN, OUT)
    with torch.no_grad():
        layer.weight.normal_(std=0.1, generator=generator)
    return layer


def test_an_int8_weight_is_off_by_half_a_step_at_most(linear):
    """A step is 1/127 of the row's largest weight, itself rounded to bfloat16."""
    layer = Int8Linear(linear)
    scales = layer.scales.float()[:, None]
    largest = linear.weight.abs().amax(dim=1)
    assert_close(layer.scales.float() * 127, largest, rtol=2**-8, atol=0)
    off = (layer.quantized * scales - linear.weight).abs()
    inside = linear.weight.abs() < 127 * scales  # the largest may be cut off by a rounded scale
    assert (off <= scales / 2 * 1.001)[inside].all()
    assert layer.quantized.unique().numel() > 50


@pytest.mark.parametrize("rows", [1, MOST_INT8_ROWS, MOST_INT8_ROWS + 1, 50])
@pytest.mark.parametrize("bias", [True, False])
def test_an_int8_layer_multiplies_with_its_own_weights(linear, rows, bias, generator):
    """Few rows in int8, many in bfloat16, but for rounding with the same weights."""
    if not bias:
        linear.bias = None
    layer = Int8Linear(linear).bfloat16()
    x = torch.randn(rows, IN, generator=generator).bfloat16()
    weight = layer.quantized * layer.scales.float()[:, None]
    expected = x.float() @ weight.T + (layer.bias.float() if bias else 0)
    assert_close(layer(x).float(), expected, rtol=2e-2, atol=2e-2)
    assert layer(x[:, None]).shape == (rows, 1, OUT)


@pytest.mark.parametrize("width", [WIDE, {}], ids=str)
@pytest.mark.parametrize("number_format", ["bf16", "int8"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"tie_weights": False, "bias": False},
        {"positions": "rotary", "norm": "rmsnorm", "qk_norm": True, "activation": "swiglu"},
        {"ngram_size": 2, "token_shift": True},
    ],
    ids=str,
)
@torch.no_grad()
def test_a_converted_model_gives_nearly_the_same_probabilities(
    make_gpt, number_format, options, width, generator
):
    model = make_gpt(**options, **width)
    tokens = torch.randint(13, (2, 7), generator=generator)
    expected = model(tokens).softmax(dim=-1)
    convert(model, number_format)
    assert all(p.dtype == torch.bfloat16 for p in model.parameters())
    cache = model.make_cache(2)
    pieces = [model(piece, cache=cache) for piece in tokens.split(1, dim=1)]
    for logits in (torch.cat(pieces, dim=1), model(tokens)):
        off = (logits.float().softmax(dim=-1) - expected).abs().sum(dim=-1) / 2
        assert off.max() < 0.2  # of the probability, at make_gpt's large weights
        assert off.mean() < 0.05


def test_inputs_that_the_kernel_would_read_past_are_refused_and_stay_bfloat16(make_gpt):
    with pytest.raises(ValueError, match="in_features=30 is not a multiple of 16"):
        Int8Linear(nn.Linear(30, 13))
    model = make_gpt()
    convert(model, "int8")
    kinds = {m.in_features: type(m) for m in model.modules() if isinstance(m, nn.Linear)}
    assert kinds[30] is not Int8Linear


def test_float32_leaves_every_weight_as_it_is(make_gpt):
    model, same = make_gpt(), make_gpt()
    convert(model, "float32")
    for ours, theirs in zip(model.parameters(), same.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_an_unknown_format_is_refused(make_gpt):
    with pytest.raises(ValueError, match="format must be one of float32, bf16, int8, got 'int4'"):
        convert(make_gpt(), "int4")


@pytest.mark.parametrize(
    ("device", "has", "width", "expected"),
    [
        ("cpu", True, LEAST_WIDTH, "int8"),
        ("cpu", True, LEAST_WIDTH - 1, "float32"),
        ("cpu", False, LEAST_WIDTH, "float32"),
        ("cuda", True, LEAST_WIDTH, "bf16"),
        ("cuda", False, LEAST_WIDTH, "float32"),
        ("mps", False, LEAST_WIDTH, "float32"),
    ],
)
def test_the_format_is_chosen_by_device_and_width(monkeypatch, device, has, width, expected):
    monkeypatch.setattr("transformer.generation.number_formats.has_bf16", lambda kind: has)
    assert fastest_format(device, width) == expected


@pytest.mark.parametrize("precision", ["float32", "bf16", "int8"])
def test_a_model_is_loaded_in_the_format_asked_for(make_gpt, tmp_path, precision):
    model, tokenizer = make_gpt(**WIDE), CharacterTokenizer(VOCABULARY)
    parts = {"architecture": model.architecture, "tokenizer": tokenizer.state}
    save_model(tmp_path / "model.safetensors", model, parts)
    loaded = load(tmp_path / "model.safetensors", "cpu", precision)
    kinds = {type(module) for module in loaded.model.modules()}
    assert (Int8Linear in kinds) == (precision == "int8")
    dtype = torch.float32 if precision == "float32" else torch.bfloat16
    assert loaded.model.token_embedding.weight.dtype == dtype
    texts = loaded.generate("ab", num_samples=3, max_new_tokens=20)
    assert texts == loaded.generate("ab", num_samples=3, max_new_tokens=20)


def test_int8_elsewhere_than_on_a_cpu_is_a_users_error(make_gpt, tmp_path, monkeypatch):
    model, tokenizer = make_gpt(), CharacterTokenizer(VOCABULARY)
    parts = {"architecture": model.architecture, "tokenizer": tokenizer.state}
    save_model(tmp_path / "model.safetensors", model, parts)
    name = "transformer.generation.number_formats.resolve_accelerator"
    monkeypatch.setattr(name, lambda device: "cuda")
    with pytest.raises(UserError, match="precision int8 needs a CPU, but the device is cuda"):
        load(tmp_path / "model.safetensors", "cuda", "int8")
