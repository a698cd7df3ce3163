"""torch.compile makes one graph of a training step, and few graphs for batches of many sizes."""

from functools import partial

import jaxtyping
import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from tests.marks import last_long
from transformer.models.parts.dropout import Dropout
from transformer.models.parts.layers import recompute_blocks
from transformer.models.parts.positions import POSITIONS
from transformer.special_ids import END, IGNORED, NUM_SPECIALS, PADDING
from transformer.training.lightning_module import LanguageModule
from transformer.training.pair_module import PairModule

V, SOURCE_V = 13, 17  # of make_gpt and make_encoder_decoder
ALL = {"dropout": 0.1, "ngram_size": 2, "qk_norm": True, "activation": "swiglu", "num_blocks": 1}
FOR_TEXTS = ALL | {"token_shift": True}
FOR_PAIRS = ALL | {"target_dropout": 0.2, "ctc_weight": 0.3}
TEXT_SIZES = [(5, 7), (5, 7), (3, 7), (2, 5), (11, 3)]  # (B, T)
PAIR_SIZES = [(5, 6, 3), (5, 6, 5), (3, 7, 7), (2, 3, 5), (11, 4, 4), (7, 2, 8)]  # (B, S, T)


@pytest.fixture(autouse=True)
def no_shape_checks():
    """The tests' checks of annotated shapes are no part of a run, and cannot be compiled."""
    jaxtyping.config.update("jaxtyping_disable", True)
    torch.compiler.reset()
    yield
    torch.compiler.reset()
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def compile_model():
    """Compiles in place, as a run does, and gives the list of the graphs to come.

    What would break a graph is an error, and so is one more graph than torch allows.
    """

    def compile_model(model, backend="eager"):
        graphs = []

        def keep(graph, inputs):
            graphs.append(graph)
            from torch._dynamo.backends.registry import lookup_backend  # takes seconds

            return lookup_backend(backend)(graph, inputs)

        model.compile(backend=keep, fullgraph=True)
        return graphs

    return compile_model


def text_batch(num_rows, size):
    return tuple(torch.randint(V, (num_rows, size)) for _ in range(2))


def pair_batch(num_rows, source_size, size):
    """The first row's source and target are padded."""
    source = torch.randint(NUM_SPECIALS, SOURCE_V, (num_rows, source_size))
    tokens = torch.randint(NUM_SPECIALS, V, (num_rows, size))
    targets = tokens.roll(-1, dims=1)
    targets[:, -1] = END
    source[0, -1], targets[0, -2], targets[0, -1] = PADDING, END, IGNORED
    return source, tokens, targets


def train(module, batches):
    """Every parameter gets a gradient from every batch."""
    module.train()
    for batch in batches:
        module.zero_grad()
        module.training_step(batch, 0).backward()
        assert all(parameter.grad is not None for parameter in module.parameters())


def text_module(make_gpt, **options):
    return LanguageModule(make_gpt(**options), lr=1e-3, r_drop=0.5)


def pair_module(make_encoder_decoder, **options):
    model = make_encoder_decoder(tie_weights=False, **options)
    return PairModule(model, lr=1e-3, r_drop=0.5, label_smoothing=0.1)


@pytest.mark.slow
def test_a_text_models_training_steps_are_one_graph_for_each_kind_of_size(make_gpt, compile_model):
    """One for the first batch, one for other numbers of rows, one for other lengths too."""
    module = text_module(make_gpt, **FOR_TEXTS)
    graphs = compile_model(module.model)
    train(module, [text_batch(*TEXT_SIZES[0])])
    assert len(graphs) == 1
    train(module, [text_batch(*sizes) for sizes in TEXT_SIZES])
    assert len(graphs) <= 3


@pytest.mark.slow
def test_a_pair_models_training_steps_are_one_graph_for_each_kind_of_size(
    make_encoder_decoder, compile_model
):
    module = pair_module(make_encoder_decoder, **FOR_PAIRS)
    graphs = compile_model(module.model)
    train(module, [pair_batch(*PAIR_SIZES[0])])
    assert len(graphs) == 1
    train(module, [pair_batch(*sizes) for sizes in PAIR_SIZES])
    assert len(graphs) <= 3


@pytest.mark.slow(seconds=50)
@pytest.mark.parametrize(
    ("kind", "positions", "recomputed"),
    last_long(
        [
            ("pairs", "rotary", True),  # the encoder has the positions of a text
            ("text", "learned", False),
            *(("text", name, False) for name in POSITIONS if name != "learned"),
            ("text", "rotary", True),
            ("pairs", "learned", False),
        ],
        number=len(POSITIONS) + 1,
        several=True,
    ),
)
def test_no_kind_of_positions_and_no_recomputed_block_breaks_a_graph_or_its_backward_pass(
    request, compile_model, kind, positions, recomputed
):
    """AOTAutograd traces the backward pass as well; it may tell one more kind of sizes apart."""
    options = {"positions": positions, "dropout": 0.1}
    if kind == "text":
        module = text_module(request.getfixturevalue("make_gpt"), **FOR_TEXTS | options)
        batches = [text_batch(*sizes) for sizes in TEXT_SIZES]
    else:
        make = request.getfixturevalue("make_encoder_decoder")
        module = pair_module(make, **FOR_PAIRS | options)
        batches = [pair_batch(*sizes) for sizes in PAIR_SIZES]
    if recomputed:
        recompute_blocks(module.model)
    graphs = compile_model(module.model, "aot_eager")
    train(module, batches)
    assert len(graphs) <= 4


@pytest.mark.slow
@pytest.mark.parametrize("rows", [None, 5])
def test_a_mask_breaks_no_graph(make_gpt, compile_model, rows):
    model = make_gpt(num_blocks=1).train()
    graphs = compile_model(model)
    mask = torch.ones(7, 7, dtype=torch.bool) if rows is None else torch.ones(rows, 7, 7).bool()
    model(text_batch(5, 7)[0], mask).sum().backward()
    assert len(graphs) == 1


class TwoDropouts(nn.Module):
    def __init__(self, *, recomputed):
        super().__init__()
        self.drop = Dropout(0.3)
        self.call = partial(checkpoint, use_reentrant=False) if recomputed else apply

    def forward(self, x):
        return self.call(self.drop, x), self.call(self.drop, x)


def apply(function, x):
    return function(x)


@pytest.mark.slow
@pytest.mark.parametrize("recomputed", [False, True])
def test_compiled_dropouts_draw_anew_each_time_and_once_for_both_passes(compile_model, recomputed):
    dropouts = TwoDropouts(recomputed=recomputed)
    graphs = compile_model(dropouts, "aot_eager_decomp_partition")  # cut in two as a run's
    x = torch.ones(100, 1000, requires_grad=True)
    torch.manual_seed(0)
    both = dropouts(x)
    assert len(graphs) == 1
    for dropped in both:
        share = (dropped == 0).float().mean().item()
        assert share == pytest.approx(0.3, abs=0.011)  # of 100,000 coins: six deviations; p / 256
        assert dropped[dropped != 0].unique().numel() == 1
        assert dropped.max().item() == pytest.approx(256 / (256 - 77), rel=1e-6)
    total = both[0] + both[1]
    (gradient,) = torch.autograd.grad(total.sum(), x)
    assert torch.equal(gradient, total.detach())
    alike = ((both[0] == 0) == (both[1] == 0)).float().mean().item()
    assert alike == pytest.approx(0.7**2 + 0.3**2, abs=0.015)
    torch.manual_seed(0)
    assert all(map(torch.equal, dropouts(x), both))


@pytest.mark.slow
@pytest.mark.parametrize("make", ["make_gpt", "make_encoder_decoder"])
@torch.no_grad()
def test_compiled_logits_are_the_models_own(float64, request, compile_model, make):
    model = request.getfixturevalue(make)(num_blocks=1)
    batch = text_batch(5, 7) if make == "make_gpt" else pair_batch(5, 6, 3)
    expected = model(*batch[:-1])
    graphs = compile_model(model)
    torch.testing.assert_close(model(*batch[:-1]), expected, rtol=0, atol=1e-10)
    assert len(graphs) == 1
