"""A trained GPT in plain NumPy gives the same logits as every path through the torch model."""

from dataclasses import fields

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch.testing import assert_close

from transformer.lessons.numpy_reference import gpt, load_gpt
from transformer.lessons.numpy_reference.safetensors_file import read_safetensors
from transformer.models.bigram import Bigram
from transformer.models.families.gpt import GPTSettings
from transformer.models.parts.attention import attention, fused_attention
from transformer.models.parts.layers import ACTIVATIONS
from transformer.models.parts.positions import POSITIONS
from transformer.storage.model_file import save_model

pytestmark = pytest.mark.parity
B, T = 2, 7

OPTIONS = [
    *({"positions": name} for name in POSITIONS),
    *({"activation": name} for name in ACTIVATIONS),
    {"activation": "swiglu", "feedforward_dim": 17},
    {"norm": "rmsnorm"},
    {"norm_first": False},
    {"norm": "rmsnorm", "norm_first": False, "bias": False},
    {"bias": False},
    {"tie_weights": False},
    {"qk_norm": True},
    {"qk_norm": True, "positions": "rotary", "norm": "rmsnorm", "activation": "swiglu"},
    *({"num_heads": 6, "head_dim": 4, "num_kv_heads": number} for number in (1, 2, 3, 6)),
    {"num_heads": 6, "num_kv_heads": 2, "head_dim": 10, "qk_norm": True, "positions": "rotary"},
    {"positions": "rotary", "rotary_base": 11.0, "norm_eps": 0.1, "qk_norm": True},
    {"positions": "rotary", "rotary_base": 101.0, "rotary_scaling": [3.0, 0.2, 0.9, 5.0]},
    {"norm": "rmsnorm", "norm_eps": 0.1},
    {"token_shift": True},
    {"ngram_size": 2},
    {"ngram_size": 3, "ngram_buckets": 200},  # room for the 169 bigrams, not for the trigrams
    {"ngram_size": 4, "ngram_buckets": 17, "token_shift": True, "positions": "sinusoidal"},
    {"ngram_size": 3, "ngram_buckets": 200, "ngram_vocab_size": 9, "head_bias": True},
    # Its 5-grams have numbers beyond 2^63:
    {"ngram_size": 5, "ngram_buckets": 101, "vocab_size": 50021, "embedding_dim": 6},
]


@pytest.fixture
def save(tmp_path):
    """Writes a model as a run does, and gives the file's path."""

    def save(model):
        path = tmp_path / "model.safetensors"
        save_model(path, model, {"architecture": model.architecture})
        return path

    return save


def draw_tokens(model, generator):
    return torch.randint(model.architecture["vocab_size"], (B, T), generator=generator)


def logits_by_cache(model, tokens):
    """Read in pieces, of several tokens and of one."""
    cache = model.make_cache(B)
    return torch.cat([model(piece, cache=cache) for piece in tokens.split((3, 1, 2, 1), 1)], 1)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@torch.no_grad()
def test_explicit_equals_fused_equals_cached_equals_numpy(options, make_gpt, generator, save):
    model = make_gpt(**options)
    tokens = draw_tokens(model, generator)
    numpy = torch.from_numpy(load_gpt(save(model)).forward(tokens.numpy()))
    cached = logits_by_cache(model, tokens)
    assert numpy.std() > 0.1  # otherwise closeness would say little
    assert_close(cached, numpy, rtol=0, atol=1e-10)  # the same mathematics in float64
    for attend in (attention, fused_attention):
        for block in model.blocks:
            block.attention.attend = attend
        assert_close(model(tokens), numpy, rtol=0, atol=1e-10)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@torch.no_grad()
def test_weights_saved_in_fewer_bits_are_worked_with_in_float64(dtype, make_gpt, generator, save):
    model, saved = make_gpt(), make_gpt().to(dtype)
    model.load_state_dict(saved.state_dict())
    tokens = draw_tokens(model, generator)
    ours = torch.from_numpy(load_gpt(save(saved)).forward(tokens.numpy()))
    assert_close(ours, model(tokens), rtol=0, atol=1e-10)  # the same mathematics in float64


def test_every_argument_of_gpt_is_known_to_the_reference():
    known = {field.name for field in fields(gpt.Architecture)}
    assert known == {"model", *GPTSettings.field_names()}
    assert gpt.ACTIVATIONS.keys() == ACTIVATIONS.keys()


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [*((gpt.ACTIVATIONS[n], f) for n, f in ACTIVATIONS.items()), (gpt.silu, F.silu)],
)
def test_activations_are_torchs_far_from_zero_too(ours, theirs):
    x = np.linspace(-1000, 1000, 4001)
    expected = theirs(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(ours(x), expected, rtol=1e-14, atol=1e-14)  # some roundings


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_a_file_reads_as_by_the_library_that_wrote_it(dtype, tmp_path, generator):
    path = tmp_path / "tensors.safetensors"
    tensors = {"a": torch.randn(3, 5, generator=generator).to(dtype), "b": torch.tensor(0.5)}
    save_file(tensors, path, {"key": "text"})
    read, metadata = read_safetensors(path)
    assert metadata == {"key": "text"}
    assert read.keys() == tensors.keys()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(read[name], tensor.double().numpy(), strict=True)


@pytest.mark.parametrize("kept", [0, 4, 100, -1])
def test_a_truncated_file_is_refused(kept, make_gpt, save):
    path = save(make_gpt())
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match="not a complete safetensors file"):
        load_gpt(path)


def test_files_of_something_else_are_refused(save, tmp_path):
    with pytest.raises(ValueError, match="model must be gpt, got 'bigram'"):
        load_gpt(save(Bigram(vocab_size=13, block_size=T)))
    other = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(3)}, other)
    with pytest.raises(ValueError, match="model must be gpt, got None"):
        load_gpt(other)
    save_file({"a": torch.zeros(3, dtype=torch.int64)}, other)
    with pytest.raises(ValueError, match="must be F64, F32, F16, BF16, got I64"):
        load_gpt(other)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"positions": "alibi"},
            ValueError,
            "one of learned, sinusoidal, rotary, none, got 'alibi'",
        ),
        ({"norm": "none"}, ValueError, "one of layernorm, rmsnorm, got 'none'"),
        ({"activation": "silu"}, ValueError, "gelu_tanh, relu, relu2, swiglu, got 'silu'"),
        ({"logit_cap": 30}, TypeError, "unexpected keyword argument 'logit_cap'"),
    ],
    ids=str,
)
def test_options_of_another_program_are_refused(change, error, message, make_gpt, save):
    model = make_gpt()
    model.architecture |= change
    with pytest.raises(error, match=message):
        load_gpt(save(model))


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (np.zeros((B, T + 1), dtype=np.int64), "8 tokens, but block_size=7"),
        (np.array([[3, 13]]), "tokens must be from 0 to 12, got 13"),
        (np.array([3, 4]), r"tokens must be \(B, T\), got shape \(2,\)"),
    ],
)
def test_tokens_that_the_model_cannot_read_are_refused(tokens, message, make_gpt, save):
    with pytest.raises(ValueError, match=message):
        load_gpt(save(make_gpt())).forward(tokens)
