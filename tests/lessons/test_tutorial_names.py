"""`ProductionTransformer` and its parts: compared with torch's own encoder, and their laws."""

import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from transformer import (
    MultiHeadSelfAttention,
    PositionalEncoding,
    ProductionTransformer,
    TransformerBlock,
    create_causal_mask,
)

pytestmark = pytest.mark.parity
B, T, H, D, F, V, NUM_LAYERS, MAX_LEN = 2, 5, 3, 10, 17, 13, 2, 7
C = H * D
SIZES = {"vocab_size": V, "d_model": C, "num_heads": H, "num_layers": NUM_LAYERS}
SIZES |= {"dim_feedforward": F, "max_len": MAX_LEN}

# Ours -> names in torch.nn.TransformerEncoderLayer
TORCH_NAMES = {
    "attention_norm": "norm1.",
    "attention.qkv": "self_attn.in_proj_",
    "attention.output": "self_attn.out_proj.",
    "feedforward_norm": "norm2.",
    "feedforward.input": "linear1.",
    "feedforward.output": "linear2.",
}


def make_model(**changes):
    """In eval mode, with weights so large that no part hides."""
    model = ProductionTransformer(**SIZES | changes).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(1.0 * name.endswith("norm.weight"), 0.3, generator=generator)
    return model


def torch_encoder(ours):
    """torch.nn.TransformerEncoder with the weights of our blocks and final norm."""
    layer = nn.TransformerEncoderLayer(C, H, F, dropout=0.0, batch_first=True, norm_first=True)
    norm = nn.LayerNorm(C)
    theirs = nn.TransformerEncoder(layer, NUM_LAYERS, norm, enable_nested_tensor=False).eval()
    state = ours.state_dict()
    renamed = {f"norm.{kind}": state[f"final_norm.{kind}"] for kind in ("weight", "bias")}
    for number in range(NUM_LAYERS):
        for name, their_name in TORCH_NAMES.items():
            for kind in ("weight", "bias"):
                weight = state[f"blocks.{number}.block.{name}.{kind}"]
                renamed[f"layers.{number}.{their_name}{kind}"] = weight
    theirs.load_state_dict(renamed)
    return theirs


def positions(size, width):
    """The formula of Vaswani et al. 2017, 3.5, a number at a time."""
    return torch.tensor(
        [
            [
                (math.cos if i % 2 else math.sin)(t / 10000 ** ((i - i % 2) / width))
                for i in range(width)
            ]
            for t in range(size)
        ]
    )


@pytest.fixture
def tokens():
    return torch.tensor([[3, 9, 4, 12, 5], [7, 11, 8, 1, 0]])


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("kind", ["none", "earlier", "later", "a row each"])
def test_logits_equal_torchs_encoder_whose_masks_say_what_is_barred(kind, tokens, generator):
    ours = make_model()
    mask = {
        "none": None,
        "earlier": create_causal_mask(T),
        "later": create_causal_mask(T).T,
        # With itself, as torch gives NaN for a position that reads nothing.
        "a row each": (torch.rand(B, T, T, generator=generator) < 0.5) | torch.eye(T).bool(),
    }[kind]
    barred = None if mask is None else ~mask
    if kind == "a row each":
        barred = ~mask.repeat_interleave(H, dim=0)
    x = ours.token_embedding(tokens) * math.sqrt(C) + positions(T, C)
    expected = torch_encoder(ours)(x, mask=barred) @ ours.token_embedding.weight.T
    assert_close(ours(tokens, mask), expected, rtol=0, atol=1e-10)  # the same mathematics


@pytest.mark.usefixtures("float64")
def test_self_attention_and_a_block_by_themselves_equal_torchs(generator):
    model = make_model()
    layer = torch_encoder(model).layers[0]
    attention = MultiHeadSelfAttention(C, H).eval()
    attention.attention.load_state_dict(model.blocks[0].block.attention.state_dict())
    x = torch.randn(B, T, C, generator=generator)
    mask = create_causal_mask(T)
    expected, _ = layer.self_attn(x, x, x, attn_mask=~mask)
    assert_close(attention(x, mask), expected, rtol=0, atol=1e-10)  # the same mathematics
    block = TransformerBlock(C, H, F).eval()
    block.load_state_dict(model.blocks[0].state_dict())
    assert_close(block(x, mask), layer(x, src_mask=~mask), rtol=0, atol=1e-10)


def test_the_example_of_the_documentation():
    model = ProductionTransformer(
        vocab_size=10000,
        d_model=128,
        num_heads=4,
        num_layers=2,
        dim_feedforward=512,
        dropout=0.1,
        max_len=5000,
        tie_weights=True,
    )
    x = torch.randint(0, 10000, (2, 5))
    assert model(x, mask=create_causal_mask(seq_len=x.size(1))).shape == (2, 5, 10000)


def test_a_causal_mask_is_true_where_a_position_may_be_read():
    expected = torch.tensor([[1, 0, 0], [1, 1, 0], [1, 1, 1]]).bool()
    assert torch.equal(create_causal_mask(3), expected)


@pytest.mark.usefixtures("float64")
def test_with_a_causal_mask_future_tokens_do_not_change_past_logits(tokens):
    model, mask = make_model(), create_causal_mask(T)
    before = model(tokens, mask)
    for t in range(1, T):
        changed = tokens.clone()
        changed[:, t:] = (changed[:, t:] + 1) % V
        after = model(changed, mask)
        assert_close(after[:, :t], before[:, :t], rtol=0, atol=1e-10)  # the same mathematics
        assert not torch.allclose(after[:, t:], before[:, t:])


def test_without_a_mask_every_position_reads_every_position(tokens):
    model = make_model()
    before = model(tokens)
    for t in range(T):
        changed = tokens.clone()
        changed[:, t] = (changed[:, t] + 1) % V
        differences = (model(changed) - before).abs().amax(dim=-1)
        assert (differences > 1e-3).all()


@pytest.mark.usefixtures("float64")
def test_padding_that_is_masked_does_not_change_what_it_stands_beside(tokens):
    model = make_model()
    lengths = torch.tensor([T, 3])
    padding = torch.arange(T) >= lengths[:, None]
    mask = (~padding)[:, None].expand(-1, T, -1)
    logits = model(tokens.masked_fill(padding, 0), mask)
    for row, length in enumerate(lengths):
        alone = model(tokens[row : row + 1, :length])
        assert_close(logits[row, :length], alone[0], rtol=0, atol=1e-10)  # the same mathematics


def test_a_position_that_may_read_nothing_has_finite_logits_and_gradients(tokens):
    model = make_model()
    mask = create_causal_mask(T)
    mask[0] = False
    logits = model(tokens, mask)
    logits.square().sum().backward()
    assert logits.isfinite().all()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_swapping_two_earlier_tokens_changes_later_logits(tokens):
    model = make_model()
    swapped = tokens[:, [1, 0, 2, 3, 4]]
    difference = (model(swapped) - model(tokens))[:, 2:].abs().amax(dim=-1)
    assert (difference > 1e-3).all()


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("width", [C, 11])
def test_positional_encoding_adds_sines_and_cosines(width, generator):
    x = torch.randn(B, T, width, generator=generator)
    added = PositionalEncoding(width, MAX_LEN)(x) - x
    assert_close(added, positions(T, width).expand(B, -1, -1), rtol=0, atol=1e-10)


@pytest.mark.parametrize("tied", [True, False])
def test_the_parameter_count_equals_the_closed_formula(tied):
    model = ProductionTransformer(**SIZES, tie_weights=tied)
    assert (model.lm_head.weight is model.token_embedding.weight) == tied
    storages = (model.lm_head.weight.data_ptr(), model.token_embedding.weight.data_ptr())
    assert (storages[0] == storages[1]) == tied
    norm = 2 * C
    attention = 4 * (C * C + C)
    feedforward = 2 * C * F + F + C
    expected = NUM_LAYERS * (attention + feedforward + 2 * norm) + norm + (2 - tied) * V * C
    assert sum(p.numel() for p in model.parameters()) == expected


def test_embeddings_and_logits_start_with_variance_1():
    torch.manual_seed(0)
    model = ProductionTransformer(vocab_size=997, max_len=MAX_LEN).eval()
    x = model.token_embedding(torch.arange(997)) * model.embedding_scale
    assert x.var().item() == pytest.approx(1, rel=0.05)
    logits = model(torch.randint(0, 997, (11, 7)))
    assert logits.var().item() == pytest.approx(1, rel=0.1)


def test_every_parameter_gets_a_gradient(tokens):
    model = make_model(tie_weights=False)
    model(tokens).square().sum().backward()
    silent = {n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()}
    assert silent == set()


def test_dropout_acts_in_training_mode_alone(tokens):
    model = make_model(dropout=0.5)
    assert torch.equal(model(tokens), make_model(dropout=0.0)(tokens))
    model.train()
    assert not torch.equal(model(tokens), model(tokens))


@pytest.mark.parametrize(
    "make",
    [
        lambda: ProductionTransformer(d_model=30, num_heads=4),
        lambda: TransformerBlock(30, 4, F),
        lambda: MultiHeadSelfAttention(30, 4),
    ],
    ids=["model", "block", "attention"],
)
def test_heads_that_do_not_share_the_width_are_refused(make):
    message = "d_model must be divisible by num_heads, got d_model=30 and num_heads=4"
    with pytest.raises(ValueError, match=message):
        make()


def test_more_positions_than_max_len_are_refused():
    model = make_model()
    assert model(torch.zeros(1, MAX_LEN, dtype=torch.long)).shape == (1, MAX_LEN, V)
    with pytest.raises(ValueError, match="8 positions, but max_len=7"):
        model(torch.zeros(1, MAX_LEN + 1, dtype=torch.long))


@pytest.mark.parametrize(
    ("mask", "got"),
    [
        (torch.ones(B, T, dtype=torch.bool), r"torch.bool with shape \(2, 5\)"),
        (torch.ones(T + 1, T + 1, dtype=torch.bool), r"torch.bool with shape \(6, 6\)"),
        (torch.ones(B + 1, T, T, dtype=torch.bool), r"torch.bool with shape \(3, 5, 5\)"),
        (torch.zeros(T, T), r"torch.float32 with shape \(5, 5\)"),
    ],
    ids=["(B, T)", "longer", "more rows", "numbers"],
)
def test_another_kind_of_mask_is_refused_with_both_shapes(mask, got, tokens):
    expected = r"mask must be torch.bool with shape \(5, 5\) or \(2, 5, 5\), .*got "
    with pytest.raises(ValueError, match=expected + got):
        make_model()(tokens, mask)
