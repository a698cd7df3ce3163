"""The encoder-decoder, beside torch.nn.Transformer, and laws that any of its options keeps."""

import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

from transformer.models import build_model
from transformer.models.encoder_decoder import EncoderDecoder, source_mask
from transformer.special_ids import PADDING

pytestmark = pytest.mark.parity
V, SOURCE_V, BLOCK_SIZE, H, C, NUM_BLOCKS = 13, 17, 7, 3, 30, 2  # make_encoder_decoder's
S, T = 5, 7
OPTIONS = [
    {},
    {"positions": "learned"},
    {"positions": "rotary"},
    {"positions": "none"},
    {"norm": "rmsnorm"},
    {"norm_first": True},
    {"norm": "rmsnorm", "norm_first": True, "bias": False},
    {"activation": "gelu"},
    {"activation": "swiglu", "feedforward_dim": 11},
    {"tie_weights": False},
    {"shared_vocabulary": True, "source_vocab_size": V},
    {"shared_vocabulary": True, "source_vocab_size": V, "tie_weights": False},
    {"qk_norm": True},
    {"ngram_size": 3, "ngram_buckets": 200},  # room for the 169 bigrams of targets alone
    {
        "positions": "rotary",
        "norm": "rmsnorm",
        "norm_first": True,
        "activation": "swiglu",
        "qk_norm": True,
    },
]
each_option = pytest.mark.parametrize("options", OPTIONS, ids=str)
same = partial(assert_close, rtol=0, atol=1e-10)  # the same mathematics in float64

# Ours -> torch's, whose names of in-projections end in _weight and _bias.
BLOCK = {
    "attention.qkv.": "self_attn.in_proj_",
    "attention.output.": "self_attn.out_proj.",
    "attention_norm.": "norm1.",
    "feedforward.input.": "linear1.",
    "feedforward.output.": "linear2.",
}
STACKS = {
    "encoder": BLOCK | {"feedforward_norm.": "norm2."},
    "decoder": BLOCK
    | {
        "cross_attention.output.": "multihead_attn.out_proj.",
        "cross_attention_norm.": "norm2.",
        "feedforward_norm.": "norm3.",
    },
}


@pytest.fixture
def source():
    """Two rows (2, S), the second one shorter; ids below V are in a shared vocabulary too."""
    return torch.tensor([[3, 9, 4, 12, 5], [7, 11, 8, PADDING, PADDING]])


@pytest.fixture
def tokens():
    """Two rows (2, T) that start differently, so that every next token can be known."""
    return torch.tensor([[1, 7, 2, 11, 12, 3, 5], [6, 7, 4, 9, 2, 4, 10]])


def next_token_loss(model, source, tokens):
    """In nats, with the first token of each row as the target after the last."""
    return F.cross_entropy(model(source, tokens).flatten(0, 1), tokens.roll(-1, dims=1).flatten())


def initial_model(**changes):
    torch.manual_seed(0)
    sizes = {"vocab_size": V, "source_vocab_size": SOURCE_V, "block_size": BLOCK_SIZE}
    shape = {"embedding_dim": C, "num_heads": H, "num_blocks": NUM_BLOCKS}
    return EncoderDecoder(**sizes | shape | changes)


def in_torchs_names(tensors):
    """Those of the blocks and the final norms; a decoder's queries stand above keys and values."""
    found = {}
    for stack, parts in STACKS.items():
        for block in range(NUM_BLOCKS):
            ours, theirs = f"{stack}_blocks.{block}.", f"{stack}.layers.{block}."
            for kind in ("weight", "bias"):
                for name, other in parts.items():
                    found[theirs + other + kind] = tensors[ours + name + kind]
                if stack == "decoder":
                    both = [tensors[f"{ours}cross_attention.query.{kind}"]]
                    both += [tensors[f"{ours}cross_attention.key_value.{kind}"]]
                    found[f"{theirs}multihead_attn.in_proj_{kind}"] = torch.cat(both)
    for ours, theirs in (("encoder_norm", "encoder.norm"), ("final_norm", "decoder.norm")):
        for kind in ("weight", "bias"):
            if f"{ours}.{kind}" in tensors:
                found[f"{theirs}.{kind}"] = tensors[f"{ours}.{kind}"]
    return found


def torchs_transformer(feedforward_dim, **options):
    """In training mode without dropout; what it warns of is its own shortcut outside training."""
    sizes = {"d_model": C, "nhead": H, "dim_feedforward": feedforward_dim, "dropout": 0.0}
    settings = sizes | {"batch_first": True} | options
    norms = [nn.LayerNorm(C) if options["norm_first"] else None for _ in STACKS]
    encoder = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(**settings), NUM_BLOCKS, norms[0], enable_nested_tensor=False
    )
    decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(**settings), NUM_BLOCKS, norms[1])
    return nn.Transformer(
        C, H, batch_first=True, custom_encoder=encoder, custom_decoder=decoder
    ).train()


def scaled_with_sines(embedding, ids):
    """Vaswani et al. 2017, 3.4 and 3.5, a number at a time."""
    x = F.embedding(ids, embedding) * math.sqrt(C)
    signals = torch.zeros(ids.shape[1], C)
    for position in range(ids.shape[1]):
        for i in range(C):
            angle = position / 10000 ** ((i - i % 2) / C)
            signals[position, i] = math.cos(angle) if i % 2 else math.sin(angle)
    return x + signals


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("norm_first", [False, True])
def test_logits_and_gradients_equal_torchs_transformer(
    make_encoder_decoder, norm_first, activation, source, tokens
):
    options = {"norm_first": norm_first, "activation": activation}
    ours = make_encoder_decoder(**options, feedforward_dim=11).train()
    theirs = torchs_transformer(11, **options)
    theirs.load_state_dict(in_torchs_names(dict(ours.state_dict())))
    source_embedding = ours.source_embedding.weight.detach().clone().requires_grad_()
    embedding = ours.token_embedding.weight.detach().clone().requires_grad_()
    not_read = source == PADDING
    x = theirs(
        scaled_with_sines(source_embedding, source),
        scaled_with_sines(embedding, tokens),
        tgt_mask=torch.ones(T, T, dtype=torch.bool).triu(1),
        src_key_padding_mask=not_read,
        memory_key_padding_mask=not_read,
    )
    expected = x @ embedding.T
    assert expected.std() > 0.1  # otherwise closeness would say little
    same(ours(source, tokens), expected)

    loss = F.cross_entropy(expected.flatten(0, 1), tokens.roll(-1, dims=1).flatten())
    loss.backward()
    next_token_loss(ours, source, tokens).backward()
    gradients = {name: parameter.grad for name, parameter in ours.named_parameters()}
    renamed = in_torchs_names(gradients)
    assert len(renamed) == len(list(theirs.parameters()))
    for name, parameter in theirs.named_parameters():
        same(renamed[name], parameter.grad)
    same(ours.source_embedding.weight.grad, source_embedding.grad)
    same(ours.token_embedding.weight.grad, embedding.grad)


@pytest.mark.usefixtures("float64")
@each_option
def test_padding_a_source_changes_nothing(make_encoder_decoder, options, source, tokens):
    model = make_encoder_decoder(**options)
    same(model(F.pad(source, (0, 2), value=PADDING), tokens), model(source, tokens))
    for row, length in enumerate((source != PADDING).sum(dim=1)):
        alone = model(source[row : row + 1, :length], tokens[row : row + 1])
        same(model(source, tokens)[row : row + 1], alone)


@pytest.mark.usefixtures("float64")
@each_option
def test_what_padding_holds_is_never_read(make_encoder_decoder, options, source, tokens, generator):
    """Neither in the memory nor in the encoder, where only PADDING's own embedding is there."""
    model = make_encoder_decoder(**options | {"tie_weights": False})
    before, mask = model(source, tokens), source_mask(source)
    memory = model.encode(source, mask)
    noise = 100 * torch.randn(memory.shape, generator=generator)
    changed = memory + noise.masked_fill((source != PADDING)[..., None], 0)
    same(model.decode(tokens, changed, mask), before)
    with torch.no_grad():
        model.source_embedding.weight[PADDING] += 100
    same(model(source, tokens), before)


@pytest.mark.usefixtures("float64")
@each_option
def test_future_tokens_do_not_change_past_logits(make_encoder_decoder, options, source, tokens):
    model = make_encoder_decoder(**options)
    before = model(source, tokens)
    for t in range(1, T):
        changed = tokens.clone()
        changed[:, t:] = (changed[:, t:] + 1) % V
        after = model(source, changed)
        same(after[:, :t], before[:, :t])
        assert not torch.allclose(after[:, t:], before[:, t:])


@pytest.mark.usefixtures("float64")
@each_option
def test_every_source_token_changes_every_logit(make_encoder_decoder, options, source, tokens):
    model = make_encoder_decoder(**options)
    source, tokens = source[:1], tokens[:1]
    before = model(source, tokens)
    for s in range(S):
        changed = source.clone()
        changed[:, s] = 6
        assert ((model(changed, tokens) - before).abs() > 1e-8).all()


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("positions", ["sinusoidal", "learned", "rotary"])
def test_order_matters_on_both_sides(make_encoder_decoder, positions, source, tokens):
    model = make_encoder_decoder(positions=positions)
    source, tokens = source[:1], tokens[:1]
    before = model(source, tokens)
    assert ((model(source[:, [1, 0, 2, 3, 4]], tokens) - before).abs() > 1e-8).all()
    swapped = model(source, tokens[:, [1, 0, 2, 3, 4, 5, 6]])
    assert ((swapped - before).abs() > 1e-8)[:, 2:].all()


@pytest.mark.usefixtures("float64")
def test_without_positions_the_order_of_a_source_does_not_matter(
    make_encoder_decoder, source, tokens
):
    model = make_encoder_decoder(positions="none")
    same(model(source.flip(1), tokens), model(source, tokens))


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("tie_weights", [False, True])
def test_the_first_loss_is_ln_v_and_a_half(norm_first, tie_weights, generator):
    """Logits of variance 1, as the head's are of normalized vectors, cost half a nat.

    At few symbols less (E[ln mean exp] is below its limit), so here there are many.
    """
    model = initial_model(vocab_size=997, norm_first=norm_first, tie_weights=tie_weights)
    source = torch.randint(3, SOURCE_V, (31, S), generator=generator)
    tokens = torch.randint(3, 997, (31, T), generator=generator)
    loss = next_token_loss(model, source, tokens).item()
    assert loss == pytest.approx(math.log(997) + 0.5, abs=0.1)


@each_option
def test_every_parameter_gets_a_gradient(options, source, tokens):
    model = initial_model(**options)
    next_token_loss(model, source, tokens).backward()
    silent = {n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()}
    assert silent == set()


@pytest.mark.parametrize(
    "options",
    [{}, *(pytest.param(o, marks=pytest.mark.slow) for o in ({"norm_first": True}, OPTIONS[-1]))],
    ids=str,
)
def test_one_batch_can_be_learned_to_near_zero(options, source, tokens):
    model = initial_model(**options)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        loss = next_token_loss(model, source, tokens)
        loss.backward()
        optimizer.step()
    assert next_token_loss(model, source, tokens).item() < 0.02


@each_option
def test_the_architecture_builds_the_same_model_again(options, source, tokens):
    model = initial_model(**options)
    again = build_model(**model.architecture)
    assert again.architecture == model.architecture
    again.load_state_dict(model.state_dict())
    assert torch.equal(again(source, tokens), model(source, tokens))
