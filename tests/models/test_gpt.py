"""The decoder-only model, beside Hugging Face's GPT-2, and laws that any of its options keeps."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from transformer.models import build_model
from transformer.models.gpt import GPT

pytestmark = pytest.mark.parity
V, T, H, C, NUM_BLOCKS, FEEDFORWARD = 13, 7, 3, 30, 2, 17
SHAPE = {
    "vocab_size": V,
    "block_size": T,
    "embedding_dim": C,
    "num_heads": H,
    "num_blocks": NUM_BLOCKS,
}
OPTIONS = [
    {},
    {"positions": "sinusoidal"},
    {"positions": "rotary"},
    {"positions": "none"},
    {"norm": "rmsnorm"},
    {"norm_first": False},
    {"norm": "rmsnorm", "norm_first": False, "bias": False},
    {"activation": "gelu_tanh"},
    {"activation": "relu"},
    {"activation": "relu2"},
    {"activation": "swiglu", "feedforward_dim": FEEDFORWARD},
    {"bias": False},
    {"tie_weights": False},
    {"qk_norm": True},
    {"token_shift": True},
    {"ngram_size": 2},
    {"ngram_size": 3, "ngram_buckets": 200},  # room for the 169 bigrams, not for the trigrams
    {"positions": "rotary", "norm": "rmsnorm", "activation": "swiglu", "qk_norm": True},
    {"positions": "rotary", "norm": "rmsnorm", "activation": "swiglu", "tie_weights": False},
]
each_option = pytest.mark.parametrize("options", OPTIONS, ids=str)


@pytest.fixture
def tokens():
    """Two rows (2, T) that start differently, so that every next token can be known."""
    return torch.tensor([[1, 7, 2, 11, 12, 3, 5], [6, 7, 0, 9, 2, 4, 10]])


def next_token_loss(model, tokens):
    """In nats, with the first token of each row as the target after the last."""
    return F.cross_entropy(model(tokens).flatten(0, 1), tokens.roll(-1, dims=1).flatten())


def initial_gpt(**options):
    torch.manual_seed(0)
    return GPT(**SHAPE | options)


# Ours -> Hugging Face's, whose Conv1D holds its matrices transposed: (in, out)
HUGGING_FACE_BLOCK = {
    "attention_norm": ("ln_1", False),
    "attention.qkv": ("attn.c_attn", True),
    "attention.output": ("attn.c_proj", True),
    "feedforward_norm": ("ln_2", False),
    "feedforward.input": ("mlp.c_fc", True),
    "feedforward.output": ("mlp.c_proj", True),
}


def from_hugging_face(theirs):
    """A state dict of ours with the weights of a GPT2LMHeadModel."""
    state = {
        "token_embedding.weight": theirs["transformer.wte.weight"],
        "lm_head.weight": theirs["lm_head.weight"],
        "position_embedding.weight": theirs["transformer.wpe.weight"],
        "final_norm.weight": theirs["transformer.ln_f.weight"],
        "final_norm.bias": theirs["transformer.ln_f.bias"],
    }
    for block in range(NUM_BLOCKS):
        for ours, (name, transposed) in HUGGING_FACE_BLOCK.items():
            weight = theirs[f"transformer.h.{block}.{name}.weight"]
            state[f"blocks.{block}.{ours}.weight"] = weight.T if transposed else weight
            state[f"blocks.{block}.{ours}.bias"] = theirs[f"transformer.h.{block}.{name}.bias"]
    return state


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@torch.no_grad()
def test_logits_and_attention_equal_hugging_faces_gpt2(dtype, tokens, generator, same_logits):
    from transformers import GPT2Config, GPT2LMHeadModel

    shape = {"vocab_size": V, "n_positions": T, "n_embd": C, "n_layer": NUM_BLOCKS, "n_head": H}
    config = GPT2Config(**shape, bos_token_id=0, eos_token_id=0, attn_implementation="eager")
    theirs = GPT2LMHeadModel(config).to(dtype).eval()
    for parameter in theirs.parameters():
        parameter.normal_(std=0.3, generator=generator)
    ours = GPT(**SHAPE, activation="gelu_tanh").to(dtype).eval()
    ours.load_state_dict(from_hugging_face(theirs.state_dict()))
    expected = theirs(tokens, output_attentions=True)
    assert expected.logits.std() > 0.1  # otherwise closeness would say little
    same_logits(ours(tokens), expected.logits, ours)
    maps = ours.attention_weights(tokens)
    assert maps.shape == (NUM_BLOCKS, 2, H, T, T)
    same_logits(maps, torch.stack(expected.attentions), ours)  # the sums that make logits


@each_option
@torch.no_grad()
def test_attention_maps_are_of_what_each_layer_did(float64, make_gpt, options, tokens):
    model = make_gpt(**options)
    given = []
    for block in model.blocks:
        block.attention.register_forward_hook(lambda *call: given.append(call))
    maps = model.attention_weights(tokens)
    for weights, (layer, (x, *_), output) in zip(maps, given, strict=True):
        value = layer.qkv(x).unflatten(-1, (3, H, -1))[:, :, 2]
        heads = torch.einsum("bhts,bshd->bthd", weights, value)
        assert_close(layer.output(heads.flatten(2)), output, rtol=0, atol=1e-10)


def test_attention_maps_leave_no_hooks_behind_also_after_an_error(make_gpt):
    model = make_gpt()
    with pytest.raises(ValueError, match="8 tokens, but block_size=7"):
        model.attention_weights(torch.zeros(1, T + 1, dtype=torch.int64))
    assert not any(module._forward_hooks for module in model.modules())


@each_option
def test_the_first_loss_is_close_to_ln_v(options, tokens):
    """A little above: logits of variance s cost about s / 2, here at most 0.03."""
    assert abs(next_token_loss(initial_gpt(**options), tokens).item() - math.log(V)) < 0.1


@pytest.mark.parametrize("options", [OPTIONS[0], OPTIONS[-1]], ids=str)
def test_one_batch_can_be_learned_to_near_zero(options, tokens):
    model = initial_gpt(**options)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(80):
        optimizer.zero_grad()
        loss = next_token_loss(model, tokens)
        loss.backward()
        optimizer.step()
    assert next_token_loss(model, tokens).item() < 0.02


@each_option
def test_every_parameter_gets_a_gradient(options, tokens):
    model = initial_gpt(**options)
    next_token_loss(model, tokens).backward()
    silent = {n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()}
    assert silent == set()


@pytest.mark.usefixtures("float64")
@each_option
def test_future_tokens_do_not_change_past_logits(options, make_gpt, tokens):
    model = make_gpt(**options)
    before = model(tokens)
    for t in range(1, T):
        changed = tokens.clone()
        changed[:, t:] = (changed[:, t:] + 1) % V
        after = model(changed)
        assert_close(after[:, :t], before[:, :t], rtol=0, atol=1e-10)  # the same mathematics
        assert not torch.allclose(after[:, t:], before[:, t:])


def closed_formula(
    positions="learned",
    norm="layernorm",
    norm_first=True,
    qk_norm=False,
    activation="gelu",
    feedforward_dim=None,
    bias=True,
    tie_weights=True,
    ngram_size=1,
    ngram_buckets=8192,
    token_shift=False,
):
    per_norm = C * (2 if bias and norm == "layernorm" else 1)
    feedforward_dim = feedforward_dim or (8 * C // 3 if activation == "swiglu" else 4 * C)
    matrices_in = 2 if activation == "swiglu" else 1
    attention = 4 * C * C + bias * 4 * C + qk_norm * 2 * (C // H)
    feedforward = (matrices_in + 1) * C * feedforward_dim + bias * (
        matrices_in * feedforward_dim + C
    )
    blocks = NUM_BLOCKS * (attention + feedforward + 2 * per_norm)
    embeddings = V * C * (1 if tie_weights else 2) + (T * C if positions == "learned" else 0)
    embeddings += positions == "sinusoidal"  # its gain
    embeddings += C * sum(min(V**size, ngram_buckets) for size in range(2, ngram_size + 1))
    embeddings += token_shift * C
    return embeddings + blocks + (per_norm if norm_first else 0)


@each_option
def test_the_parameter_count_equals_the_closed_formula(options):
    assert sum(p.numel() for p in initial_gpt(**options).parameters()) == closed_formula(**options)


def test_the_closed_formula_gives_gpt2s_published_size():
    """124,439,808 parameters: 12 blocks of width 768, 1024 positions, 50257 tokens."""
    with torch.device("meta"):
        model = GPT(
            vocab_size=50257, block_size=1024, embedding_dim=768, num_heads=12, num_blocks=12
        )
    assert sum(p.numel() for p in model.parameters()) == 124_439_808


def test_more_tokens_than_block_size_are_refused():
    model = initial_gpt()
    assert model(torch.zeros(1, T, dtype=torch.long)).shape == (1, T, V)
    with pytest.raises(ValueError, match="8 tokens, but block_size=7"):
        model(torch.zeros(1, T + 1, dtype=torch.long))


@each_option
def test_the_architecture_builds_the_same_model_again(options, tokens):
    model = initial_gpt(**options)
    again = build_model(**model.architecture)
    assert again.architecture == model.architecture
    again.load_state_dict(model.state_dict())
    assert torch.equal(again(tokens), model(tokens))


def test_an_unknown_model_lists_the_known_ones():
    with pytest.raises(
        ValueError, match="model must be one of gpt, bigram, encoder_decoder, got 'lstm'"
    ):
        build_model("lstm", **SHAPE)


def test_dropout_acts_in_training_mode_alone(tokens):
    model, plain = initial_gpt(dropout=0.5), initial_gpt()
    assert not torch.equal(model(tokens), model(tokens))
    assert torch.equal(model.eval()(tokens), plain(tokens))
    assert torch.equal(plain.train()(tokens), plain.eval()(tokens))


@pytest.mark.parametrize("part", ["embedding", "attention", "residual"])
def test_dropout_is_on_the_embeddings_the_weights_and_what_each_part_adds(part, tokens):
    """All but one place is switched off; what is left must still change the logits."""
    model = initial_gpt(dropout=0.5)
    if part != "embedding":
        model.dropout.p = 0.0
    for block in model.blocks:
        block.attention.dropout = 0.5 if part == "attention" else 0.0
        block.dropout.p = 0.5 if part == "residual" else 0.0
    assert not torch.equal(model(tokens), model.eval()(tokens))


def test_tied_weights_are_one_tensor():
    tied, untied = initial_gpt(), initial_gpt(tie_weights=False)
    assert tied.lm_head.weight is tied.token_embedding.weight
    assert untied.lm_head.weight is not untied.token_embedding.weight
    assert not torch.equal(untied.lm_head.weight, untied.token_embedding.weight)


def test_logits_of_a_row_do_not_depend_on_the_other_rows(float64, make_gpt, tokens):
    """In float64: float32 products differ in the last bits between batch sizes."""
    model = make_gpt().double()
    assert_close(model(tokens)[1:], model(tokens[1:]), rtol=0, atol=1e-10)
