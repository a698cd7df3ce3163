"""Number formats of a trained model: what they do to weights, logits and losses."""

import json

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from transformer.data.tokenizers.characters import CharacterTokenizer
from transformer.generation import number_formats
from transformer.generation.int8_linear import INT8_STRIDE, Int8Linear, Products
from transformer.generation.number_formats import (
    FORMATS,
    MEASURED_ROWS,
    convert,
    fastest_format,
    fastest_products,
    measured_rows,
    prepare,
    some_blocks,
)
from transformer.generation.text import load
from transformer.models.parts.attention import ATTENTIONS
from transformer.storage.model_file import save_model
from transformer.system.errors import UserError

pytestmark = pytest.mark.parity
VOCABULARY = "\n abcdefghijk"  # 13 characters: as many as the tokens of make_gpt
IN, OUT = 48, 13
FEW = Products(8, "bf16")  # rows in int8
WIDE = {"embedding_dim": 96, "num_heads": 3}  # as make_gpt's 30 does not fit the kernel


@pytest.fixture
def linear(generator):
    layer = nn.Linear(IN, OUT)
    with torch.no_grad():
        layer.weight.normal_(std=0.1, generator=generator)
    return layer


def test_an_int8_weight_is_off_by_half_a_step_at_most(linear):
    """A step is 1/127 of the row's largest weight, itself rounded to bfloat16."""
    layer = Int8Linear(linear, FEW)
    scales = layer.scales.float()[:, None]
    largest = linear.weight.abs().amax(dim=1)
    assert_close(layer.scales.float() * 127, largest, rtol=2**-8, atol=0)
    off = (layer.quantized * scales - linear.weight).abs()
    inside = linear.weight.abs() < 127 * scales  # the largest may be cut off by a rounded scale
    assert (off <= scales / 2 * 1.001)[inside].all()
    assert layer.quantized.unique().numel() > 50


@pytest.mark.parametrize("rows", [1, 8, 9, 50])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("other", ["bf16", "float32"])
def test_an_int8_layer_multiplies_with_its_own_weights(linear, rows, bias, other, generator):
    """Few rows in int8, many in the other format, but for rounding with the same weights."""
    if not bias:
        linear.bias = None
    layer = Int8Linear(linear, Products(8, other))
    x = torch.randn(rows, IN, generator=generator).bfloat16()
    weight = layer.quantized * layer.scales.float()[:, None]
    expected = x.float() @ weight.T + (layer.bias.float() if bias else 0)
    assert_close(layer(x).float(), expected, rtol=2e-2, atol=2e-2)
    assert layer(x).dtype == torch.bfloat16
    assert layer(x[:, None]).shape == (rows, 1, OUT)
    assert torch.equal(layer.make_step()(x), layer(x))


@pytest.mark.parametrize("rows", [8, 9])
def test_few_rows_are_multiplied_in_int8_and_more_in_the_other_format(linear, rows):
    layer = Int8Linear(linear, FEW)
    layer.quantized.zero_()  # which only the product in int8 reads
    layer.bias = None
    assert bool(layer(torch.ones(rows, IN).bfloat16()).any()) == (rows == 9)


@pytest.mark.parametrize("width", [WIDE, {}], ids=str)
@pytest.mark.parametrize(
    ("number_format", "other"), [("bf16", "bf16"), ("int8", "bf16"), ("int8", "float32")]
)
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
    make_gpt, number_format, other, options, width, generator
):
    model = make_gpt(**options, **width)
    tokens = torch.randint(13, (2, 7), generator=generator)
    expected = model(tokens).softmax(dim=-1)
    convert(model, number_format, products=Products(1, other))
    kept = {f"{n}.weight" for n, m in model.named_modules() if isinstance(m, Int8Linear)}
    for name, parameter in model.named_parameters():
        wide = name in kept and other == "float32"
        assert parameter.dtype == (torch.float32 if wide else torch.bfloat16)
    cache = model.make_cache(2)
    pieces = [model(piece, cache=cache) for piece in tokens.split(1, dim=1)]
    for logits in (torch.cat(pieces, dim=1), model(tokens)):
        off = (logits.float().softmax(dim=-1) - expected).abs().sum(dim=-1) / 2
        assert off.max() < 0.2  # of the probability, at make_gpt's large weights
        assert off.mean() < 0.05


def test_inputs_that_the_kernel_would_read_past_are_refused_and_stay_bfloat16(make_gpt):
    with pytest.raises(ValueError, match="in_features=30 is not a multiple of 16"):
        Int8Linear(nn.Linear(30, 13), FEW)
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


def test_another_device_than_a_cpu_is_asked_for_bfloat16_alone(make_gpt, monkeypatch):
    monkeypatch.setattr(number_formats, "seconds_of", None)
    for has, expected in ((True, "bf16"), (False, "float32")):
        monkeypatch.setattr(number_formats, "has_bf16", lambda kind, has=has: has)
        assert fastest_format("cuda", make_gpt().architecture) == (expected, "")
    monkeypatch.setattr(number_formats, "has_bf16", lambda kind: kind == "cuda")
    assert fastest_format("mps", make_gpt().architecture).name == "float32"


@pytest.fixture
def answers(monkeypatch):
    """Replaces the measuring; questions that begin so have these seconds, all others are ties."""
    given, asked = {}, []

    def seconds_of(question, candidates, folder, sizes):
        asked.append((question, str(folder)))
        found = [s for start, s in given.items() if question.startswith(start)]
        seconds = dict(zip(FORMATS, found[0] if found else (1.0, 1.0, 1.0), strict=True))
        return {name: seconds[name] for name in candidates}

    monkeypatch.setattr(number_formats, "seconds_of", seconds_of)
    return given, asked


@pytest.mark.parametrize("make", ["make_gpt", "make_encoder_decoder"])
def test_the_format_is_the_fastest_one_for_as_many_rows(request, make, answers):
    architecture = request.getfixturevalue(make)().architecture
    given, asked = answers
    writing = "writing and sampling"
    given |= {f"{writing}, 1 rows": (3.0, 2.0, 1.0), f"{writing}, 64 rows": (2.0, 1.0, 3.0)}
    given |= {"products, 1 rows": (2.0, 2.0, 1.0)}
    assert fastest_format("cpu", architecture) == ("int8", "3.0 x as fast as float32 here")
    assert fastest_format("cpu", architecture, 50).name == "bf16"
    assert fastest_format("cpu", architecture, 10, "there").name == "float32"  # a tie
    question, folder = asked[-1]
    assert question.startswith(f"{writing}, 8 rows")
    assert "embedding_dim 30" in question
    assert folder == "there"


def test_int8_is_for_no_more_rows_than_it_multiplies(make_gpt, answers):
    """Of more, its layers are in the other format, with weights that are rounded for nothing."""
    given, _ = answers
    given |= {f"writing and sampling, {rows} rows": (3.0, 2.0, 1.0) for rows in MEASURED_ROWS}
    given |= {f"products, {rows} rows": (2.0, 2.0, 1.0) for rows in (1, 8)}
    chosen = [fastest_format("cpu", make_gpt().architecture, rows).name for rows in MEASURED_ROWS]
    assert chosen == ["int8", "int8", "bf16", "bf16"]


def test_a_model_without_products_is_float32(answers):
    architecture = {"model": "bigram", "vocab_size": 13, "block_size": 7}
    assert fastest_format("cpu", architecture) == ("float32", "")
    assert not answers[1]


def test_rows_are_rounded_to_the_nearest_that_are_measured():
    assert [measured_rows(rows) for rows in (0, 1, 2, 3, 11, 12, 31, 33, 999)] == [
        *(1, 1, 1, 8, 8, 16, 16, 64, 64)
    ]


@pytest.mark.parametrize("width", [64, 192, 384, 1024, 4096])
@pytest.mark.parametrize("num_blocks", [1, 4, 24])
def test_what_is_timed_is_a_whole_model_or_more_than_a_core_keeps_in_its_caches(width, num_blocks):
    """One block of 192 is read from a cache, and four are not: there, int8 is 1.25 x as fast."""
    sizes = {"embedding_dim": width, "feedforward_dim": 4 * width, "block_size": 64}
    timed = some_blocks({"num_blocks": num_blocks, "vocab_size": 240, **sizes})
    bytes_of_a_block = 4 * 12 * width**2
    assert timed["num_blocks"] <= num_blocks
    if timed["num_blocks"] < num_blocks:
        assert 16e6 < timed["num_blocks"] * bytes_of_a_block < 64e6 + bytes_of_a_block
    assert timed["vocab_size"] == 240 * timed["num_blocks"] // num_blocks


def test_int8_layers_multiply_as_is_faster(make_gpt, answers):
    given, _ = answers
    given |= {"products, 1 rows": (4.0, 9.0, 1.0), "products, 8 rows": (2.0, 9.0, 1.0)}
    given |= {"products, 16 rows": (1.0, 1.5, 2.0), "products, 64 rows": (1.0, 2.0, 3.0)}
    assert fastest_products(make_gpt().architecture) == (8, "float32")
    given["products, 64 rows"] = (2.0, 1.0, 3.0)
    assert fastest_products(make_gpt().architecture) == (8, "bf16")
    model = make_gpt(**WIDE)
    prepare(model, "cpu", "int8")
    layers = [module for module in model.modules() if isinstance(module, Int8Linear)]
    assert {(layer.most_int8_rows, layer.weight.dtype) for layer in layers} == {(8, torch.bfloat16)}


@pytest.mark.parametrize("make", ["make_gpt", "make_encoder_decoder"])
def test_what_was_measured_is_remembered_and_no_random_number_is_drawn(
    request, make, monkeypatch, tmp_path
):
    architecture = request.getfixturevalue(make)(embedding_dim=2 * INT8_STRIDE, num_heads=2)
    architecture = architecture.architecture
    monkeypatch.setattr("transformer.system.speed.cores_are_free", lambda: True)
    before = torch.get_rng_state()
    chosen = fastest_format("cpu", architecture, 3, str(tmp_path))
    assert torch.equal(torch.get_rng_state(), before)
    assert chosen.name in FORMATS
    assert chosen.why
    known = json.loads((tmp_path / "speeds.json").read_text(encoding="utf-8"))
    assert len(known) == 1 + len(MEASURED_ROWS)
    monkeypatch.setattr("transformer.system.speed.measure_all", None)
    assert fastest_format("cpu", architecture, 3, str(tmp_path)) == chosen


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


@pytest.mark.parametrize("num_rows", [1, 16])
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_a_given_format_measures_nothing(make_gpt, tmp_path, precision, num_rows):
    model = make_gpt()
    prepare(model, "cpu", precision, num_rows=num_rows, cache_dir=str(tmp_path / "cache"))
    assert not (tmp_path / "cache").exists()
    for block in model.blocks:
        assert block.attention.attend_step is ATTENTIONS["fused"]


@pytest.mark.parametrize("faster", ATTENTIONS)
@pytest.mark.parametrize("num_rows", [1, 64])
def test_many_rows_read_their_keys_by_the_faster_attention(make_gpt, monkeypatch, faster, num_rows):
    asked = []

    def timed(question, candidates, cache_dir):
        asked.append(question)
        return {name: 1.0 if name in (faster, "float32") else 2.0 for name in candidates}

    monkeypatch.setattr(number_formats, "timed", timed)
    model = make_gpt()
    assert prepare(model, "cpu", "auto", num_rows=num_rows).name == "float32"
    expected = faster if num_rows > 1 else "fused"
    for block in model.blocks:
        assert block.attention.attend_step is ATTENTIONS[expected]
    assert any("attention" in question for question in asked) == (num_rows > 1)
