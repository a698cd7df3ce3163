"""ONNX graphs compute in onnxruntime what the models compute here, at every length."""

import numpy as np
import onnx
import pytest
import torch

from tests.conftest import draw_weights
from tests.marks import first_fast
from transformer.export.onnx.kinds import kind_of
from transformer.export.onnx.names import MODEL
from transformer.export.onnx.pair_comparison import ReloadedPair
from transformer.export.onnx.session import FailedError, Session
from transformer.models.bigram import Bigram
from transformer.special_ids import PADDING

PARTS = {
    "positions": ("learned", "sinusoidal", "rotary", "none"),
    "norm": ("layernorm", "rmsnorm"),
    "norm_first": (True, False),
    "activation": ("gelu", "gelu_tanh", "relu", "relu2", "swiglu"),
    "qk_norm": (False, True),
    "num_kv_heads": (6, 2),
    "tie_weights": (True, False),
    "bias": (True, False),
    "ngram_size": (1, 2, 4),
}
GROUPED = {"num_heads": 6, "num_kv_heads": 2, "head_dim": 4}  # 3 x 2: an order that matters
GPTS = [
    {"ngram_size": 3, "ngram_buckets": 17, "token_shift": True, "activation": "relu2"},
    GROUPED | {"positions": "rotary", "norm": "rmsnorm", "qk_norm": True, "activation": "swiglu"},
    {"positions": "rotary", "rotary_scaling": [2.0, 1.0, 4.0, 4.0], "head_dim": 14},
    {"positions": "sinusoidal", "position_gain": False, "norm_first": False},
    {"positions": "none", "token_shift": True, "num_kv_heads": 1, "activation": "gelu_tanh"},
    {"head_bias": True, "ngram_vocab_size": 11, "ngram_size": 2, "ngram_buckets": 500},
    {"block_size": 1, "ngram_size": 2, "token_shift": True},
    {"bias": False, "norm_eps": 0.1, "tie_weights": False, "feedforward_dim": 11},
]
PAIRS = [
    {"positions": "learned", "norm_first": True, "ngram_size": 2, "activation": "swiglu"},
    {},
    {"shared_vocabulary": True, "source_vocab_size": 13, "ctc_weight": 0.3, "tie_weights": False},
    GROUPED | {"positions": "rotary", "qk_norm": True, "norm": "rmsnorm"},
]


@pytest.fixture
def save_graphs(tmp_path):
    """Writes the graphs of a model, once onnx has checked types and shapes; gives the folder."""

    def save(model):
        for name, make in kind_of(model).graphs.items():
            made = make(model).model({})
            onnx.checker.check_model(made, full_check=True)
            assert {node.domain for node in made.graph.node} == {""}
            onnx.save(made, tmp_path / name)
        return tmp_path

    return save


@pytest.fixture
def load(save_graphs):
    return lambda model: Session(save_graphs(model) / MODEL, num_threads=1)


def in_pieces(session, tokens, size, **given):
    """The logits, when `size` tokens are read at a time."""
    past, found = session.empty_past(len(tokens)), []
    for piece in tokens.split(size, dim=1):
        logits, past = session.step({"tokens": piece.numpy(), **given}, past)
        found.append(torch.from_numpy(logits))
    return torch.cat(found, dim=1)


def same(found, expected):
    """To the issue's bar: as a share of the spread of the logits."""
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= 1e-4 * expected.std()


@torch.inference_mode()
def check_every_length(model, session, generator):
    for length in range(1, model.block_size + 1):
        shape = (1 + length % 2, length)
        tokens = torch.randint(model.settings.vocab_size, shape, generator=generator)
        expected = model(tokens)
        for size in (length, 1, 2):
            same(in_pieces(session, tokens, size), expected)


@pytest.mark.parity
@pytest.mark.parametrize("changes", first_fast(GPTS, 2), ids=str)
def test_logits_are_the_models_at_every_length_with_and_without_the_cache(
    make_gpt, load, generator, changes
):
    model = make_gpt(**changes)
    check_every_length(model, load(model), generator)


@pytest.mark.slow
@pytest.mark.parity
def test_every_pair_of_parts_is_exact(make_gpt, load, generator, load_benchmark):
    for number, row in enumerate(load_benchmark("combinations").covering_array(PARTS)):
        others = {"ngram_buckets": 50, "token_shift": bool(number % 2)}
        model = make_gpt(**GROUPED | row | others)
        check_every_length(model, load(model), generator)


def test_n_grams_are_hashed_alike_where_int64_overflows(make_gpt, load, generator):
    base = 70_000  # a grown model's n-grams are numbered as before it grew
    model = make_gpt(ngram_size=5, ngram_buckets=97, ngram_vocab_size=base, vocab_size=base)
    assert 9 * base**4 > 2**63
    check_every_length(model, load(model), generator)


def test_a_bigram_model_is_a_graph_without_pasts(load, generator):
    model = Bigram(vocab_size=13, block_size=5)
    draw_weights(model)
    session = load(model)
    assert session.empty_past(1) == {}
    check_every_length(model, session, generator)


@torch.inference_mode()
@pytest.mark.parity
@pytest.mark.parametrize("changes", first_fast(PAIRS), ids=str)
def test_encoder_and_decoder_are_exact_at_every_length(
    make_encoder_decoder, save_graphs, generator, changes
):
    model = make_encoder_decoder(**changes)
    theirs = ReloadedPair(save_graphs(model))
    for length in range(1, model.block_size + 2):
        source = torch.randint(3, 13, (3, min(length, model.block_size)), generator=generator)
        source[1, -(length // 2) or length :] = PADDING
        tokens = torch.randint(13, (3, length), generator=generator)
        expected = model(source, tokens)
        same(theirs.logits(source, tokens), expected)
        memory = theirs.encoder.run({"source": source.numpy()})
        same(in_pieces(theirs.decoder, tokens, 1, source=source.numpy(), **memory), expected)


@pytest.mark.parametrize("changes", first_fast([{"positions": "none"}, {}, *GPTS[:2]]), ids=str)
def test_a_graph_refuses_more_than_block_size_tokens(make_gpt, load, changes):
    model = make_gpt(**changes)
    session = load(model)
    for size in (8, 6):  # the eighth token is too much, at once or after six
        with pytest.raises(FailedError, match="indices element out of data bounds"):
            in_pieces(session, torch.zeros(1, 8, dtype=torch.long), size)


def test_a_tied_matrix_is_stored_once(make_gpt):
    def stored(**changes):
        model = make_gpt(**changes)
        made = kind_of(model).graphs[MODEL](model).model({})
        return sum(int(np.prod(tensor.dims)) == 13 * 30 for tensor in made.graph.initializer)

    assert (stored(), stored(tie_weights=False)) == (1, 2)
