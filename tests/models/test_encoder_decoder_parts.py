"""The parts of an encoder-decoder: sizes, first weights, dropout, maps, and what is refused."""

import math
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from transformer.config.files import load_config
from transformer.models import build_model
from transformer.models.encoder_decoder import EncoderDecoder, source_mask
from transformer.special_ids import PADDING

pytestmark = pytest.mark.parity
V, SOURCE_V, BLOCK_SIZE, H, C, NUM_BLOCKS = 13, 17, 7, 3, 30, 2  # make_encoder_decoder's
S, T, D = 5, 7, 10
CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.fixture
def source():
    return torch.tensor([[3, 9, 4, 16, 5], [7, 11, 8, PADDING, PADDING]])


@pytest.fixture
def tokens():
    return torch.tensor([[1, 7, 2, 11, 12, 3, 5], [1, 7, 4, 9, 2, 4, 10]])


def initial_model(**changes):
    torch.manual_seed(0)
    sizes = {"vocab_size": V, "source_vocab_size": SOURCE_V, "block_size": BLOCK_SIZE}
    shape = {"embedding_dim": C, "num_heads": H, "num_blocks": NUM_BLOCKS}
    return EncoderDecoder(**sizes | shape | changes)


def num_parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


def num_in_blocks(width, feedforward_dim, num_blocks):
    """With biases, layer norms and post-norm, as printed in Vaswani et al. 2017."""
    attention = 4 * (width * width + width)
    feedforward = 2 * width * feedforward_dim + feedforward_dim + width
    norm = 2 * width
    encoder = attention + feedforward + 2 * norm
    decoder = 2 * attention + feedforward + 3 * norm
    return num_blocks * (encoder + decoder)


def test_the_papers_base_model_has_the_parameters_that_its_sizes_make():
    """Which is within 5 % of the 65 million that table 3 prints for about 37,000 symbols."""
    architecture = load_config(CONFIGS / "base-model.yaml").architecture(
        vocab_size=37_000, source_vocab_size=37_000
    )
    with torch.device("meta"):
        model = build_model(**architecture)
    expected = num_in_blocks(512, 2048, 6) + 37_000 * 512
    assert num_parameters(model) == expected == 63_082_496
    assert expected == pytest.approx(65e6, rel=0.05)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("tied", [False, True])
def test_a_matrix_that_is_shared_or_tied_is_there_once(shared, tied):
    source_vocab_size = V if shared else SOURCE_V
    model = initial_model(
        shared_vocabulary=shared, tie_weights=tied, source_vocab_size=source_vocab_size
    )
    embedding = model.token_embedding.weight
    assert (model.source_embedding.weight is embedding) == shared
    assert (model.lm_head.weight is embedding) == tied
    rows = V + (not shared) * source_vocab_size + (not tied) * V
    assert num_parameters(model) == num_in_blocks(C, 4 * C, NUM_BLOCKS) + rows * C


def test_each_of_several_matrices_in_one_is_drawn_on_its_own_fan():
    """Xavier's bound sqrt(6 / (in + out)); a fused matrix as a whole would start smaller."""
    model = initial_model(activation="swiglu", feedforward_dim=35)
    found = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and module is not model.lm_head:
            num_parts = len(getattr(module, "part_sizes", [0]))
            for part in module.weight.chunk(num_parts):
                bound = math.sqrt(6 / sum(part.shape))
                assert 0.98 * bound < part.abs().max() <= bound
                assert part.shape[0] == (35 if name.endswith("feedforward.input") else C)
            found[name.partition(".")[2].partition(".")[2]] = num_parts
            assert module.bias is not None
            assert not module.bias.any()
    assert found == {
        "attention.qkv": 3,
        "attention.output": 1,
        "cross_attention.query": 1,
        "cross_attention.key_value": 2,
        "cross_attention.output": 1,
        "feedforward.input": 2,
        "feedforward.output": 1,
    }
    for module in (model.token_embedding, model.source_embedding):
        assert module.weight.std().item() == pytest.approx(C**-0.5, rel=0.1)


def test_dropout_acts_in_training_mode_alone(source, tokens):
    model, plain = initial_model(dropout=0.5), initial_model()
    assert not torch.equal(model(source, tokens), model(source, tokens))
    assert torch.equal(model.eval()(source, tokens), plain(source, tokens))
    assert torch.equal(plain.train()(source, tokens), plain.eval()(source, tokens))


def test_target_dropout_hides_whole_tokens_of_the_target_in_training_alone(source, tokens):
    model = initial_model(target_dropout=0.3)
    read = []  # what the first blocks read, of the source and then of the target
    model.dropout.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
    source, tokens = source.repeat(300, 1), tokens.repeat(300, 1)
    model.train()(source, tokens)
    model.eval()(source, tokens)
    (trained_source, trained), (all_of_source, all_of_target) = read[:2], read[2:]
    assert torch.equal(trained_source, all_of_source)
    hidden = (trained != all_of_target).any(dim=-1)
    positions = model.position_embedding.table[:T].expand_as(trained)
    assert torch.equal(trained[hidden], positions[hidden])
    assert hidden.float().mean().item() == pytest.approx(0.3, abs=0.03)  # 4 standard deviations


@pytest.mark.parametrize("ngram_size", [1, 2, 3])
@torch.no_grad()
def test_a_hidden_token_is_seen_nowhere_not_even_in_later_ngrams(ngram_size, source, tokens):
    """Of 20 draws, another third token changes no logits in those alone that hide it."""
    model = initial_model(target_dropout=0.4, ngram_size=ngram_size, ngram_buckets=V**3)
    for table in model.token_embedding.ngram_tables:
        table.normal_()
    changed = tokens.clone()
    changed[:, 2] = 6
    model.train()
    for seed in range(20):
        torch.manual_seed(seed)
        hidden = torch.rand(*tokens.shape, 1)[:, 2, 0] < 0.4
        logits = []
        for target in (tokens, changed):
            torch.manual_seed(seed)
            logits.append(model(source, target))
        unchanged = (logits[0] == logits[1]).flatten(1).all(dim=1)
        assert torch.equal(unchanged, hidden)


@pytest.mark.parametrize("part", ["none", "", "encoder_blocks.1", "decoder_blocks.1"])
def test_dropout_is_on_the_embeddings_and_on_what_each_part_adds(part, source, tokens):
    """All but one place is switched off; what is left changes the logits, and without it nothing.

    So there is none elsewhere: the paper has none on attention weights.
    """
    model = initial_model(dropout=0.5)
    calls = []
    for name, module in model.named_modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.5 if name.rpartition(".")[0] == part else 0.0
            module.register_forward_hook(lambda *_: calls.append(1))
    equal = torch.equal(model.train()(source, tokens), model.eval()(source, tokens))
    assert equal == (part == "none")
    # Two embeddings; two parts of a block of the encoder and three of the decoder's; both passes.
    assert len(calls) == 2 * (2 + NUM_BLOCKS * (2 + 3))


def test_where_all_that_is_added_is_dropped_the_embeddings_alone_are_left(float64, source, tokens):
    model = initial_model(norm_first=True)
    for block in model.decoder_blocks:
        block.dropout.p = 1.0
    embedded = model.token_embedding(tokens) * C**0.5
    expected = model.lm_head(model.final_norm(model.position_embedding(embedded, slice(0, T))))
    assert_close(model.train()(source, tokens), expected, rtol=0, atol=1e-10)


@torch.no_grad()
def test_maps_of_what_is_read_are_those_of_the_formula(
    float64, make_encoder_decoder, source, tokens
):
    model = make_encoder_decoder()
    block, mask = model.decoder_blocks[0], source_mask(source)
    memory = model.encode(source, mask)
    x = model.position_embedding(model.token_embedding(tokens) * C**0.5, slice(0, T))
    x = block.attention_norm(x + block.attention(x))
    query = block.cross_attention.query(x).unflatten(-1, (H, D))
    key = block.cross_attention.key_value(memory)[..., :C].unflatten(-1, (H, D))
    scores = torch.einsum("bthd,bshd->bhts", query, key) / D**0.5
    expected = scores.masked_fill(~mask, -math.inf).softmax(dim=-1)
    weights = model.cross_attention_weights(source, tokens)
    assert weights.shape == (NUM_BLOCKS, 2, H, T, S)
    assert_close(weights[0], expected, rtol=0, atol=1e-10)  # the same mathematics


@pytest.mark.parametrize("positions", ["sinusoidal", "rotary"])
@torch.no_grad()
def test_maps_are_of_what_each_layer_did(float64, make_encoder_decoder, positions, source, tokens):
    """Each row sums to 1 with nothing on padding, and weighs the values that the layer gave."""
    model = make_encoder_decoder(positions=positions, qk_norm=True)
    given = []
    hooks = [
        block.cross_attention.register_forward_hook(lambda *call: given.append(call))
        for block in model.decoder_blocks
    ]
    model(source, tokens)
    for hook in hooks:
        hook.remove()
    maps = model.cross_attention_weights(source, tokens)
    assert_close(maps.sum(dim=-1), torch.ones(NUM_BLOCKS, 2, H, T), rtol=0, atol=1e-10)
    assert not maps[:, 1, :, :, 3:].any()
    for weights, (layer, (_, memory, *_), output) in zip(maps, given, strict=True):
        value = layer.key_value(memory)[..., C:].unflatten(-1, (H, D))
        heads = torch.einsum("bhts,bshd->bthd", weights, value)
        assert_close(layer.output(heads.flatten(2)), output, rtol=0, atol=1e-10)


@pytest.mark.parametrize("num_tokens", [T, BLOCK_SIZE + 2])
def test_maps_leave_no_hooks_behind_also_after_an_error(make_encoder_decoder, source, num_tokens):
    model = make_encoder_decoder()
    tokens = torch.full((2, num_tokens), 5)
    too_long = num_tokens > BLOCK_SIZE + 1
    with pytest.raises(ValueError, match="tokens, but") if too_long else nullcontext():
        model.cross_attention_weights(source, tokens)
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize(
    ("num_read", "num_tokens", "match"),
    [
        (8, 7, "8 tokens in a source, but block_size=7"),
        (7, 9, r"9 tokens, but block_size \+ 1 = 8"),
    ],
)
def test_more_tokens_than_there_is_room_for_are_refused(num_read, num_tokens, match):
    model = initial_model()
    source, tokens = (torch.full((2, size), 5) for size in (num_read, num_tokens))
    assert model(source[:, :7], tokens[:, :8]).shape == (2, min(8, num_tokens), V)
    with pytest.raises(ValueError, match=match):
        model(source, tokens)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"positions": "fixed"}, "positions must be one of learned, .*got 'fixed'"),
        ({"norm": "batchnorm"}, "norm must be layernorm or rmsnorm, got 'batchnorm'"),
        ({"activation": "tanh"}, "activation must be one of gelu, .*got 'tanh'"),
        ({"num_heads": 4}, "divisible by num_heads, got embedding_dim=30 and num_heads=4"),
        ({"shared_vocabulary": True}, "got vocab_size=13 and source_vocab_size=17"),
        (
            {"positions": "rotary", "num_heads": 10},
            "even embedding_dim / num_heads, got 30 / 10",
        ),
    ],
)
def test_arguments_that_do_not_fit_are_refused(changes, match):
    with pytest.raises(ValueError, match=match):
        initial_model(**changes)
