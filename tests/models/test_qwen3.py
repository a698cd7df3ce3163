"""configs/qwen3.yaml is Hugging Face's Qwen3ForCausalLM: weights copied either way, same logits."""

from pathlib import Path

import pytest
import torch

from transformer.config.files import load_config
from transformer.models import build_model
from transformer.models.parts.norms import NORM_EPS

pytestmark = pytest.mark.parity
CONFIG = Path(__file__).parents[2] / "configs" / "qwen3.yaml"
V, B = 67, 3

# Ours -> Hugging Face's; where there are several, ours holds them one below the other.
OUTSIDE_BLOCKS = {
    "token_embedding": ("model.embed_tokens",),
    "final_norm": ("model.norm",),
    "lm_head": ("lm_head",),
}
IN_A_BLOCK = {
    "attention_norm": ("input_layernorm",),
    "attention.query_norm": ("self_attn.q_norm",),
    "attention.key_norm": ("self_attn.k_norm",),
    "attention.qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "attention.output": ("self_attn.o_proj",),
    "feedforward_norm": ("post_attention_layernorm",),
    "feedforward.input": ("mlp.gate_proj", "mlp.up_proj"),
    "feedforward.output": ("mlp.down_proj",),
}


def names(num_blocks):
    """Each weight of ours, and theirs that it is made of."""
    table = dict(OUTSIDE_BLOCKS)
    for block in range(num_blocks):
        for ours, theirs in IN_A_BLOCK.items():
            table[f"blocks.{block}.{ours}"] = tuple(f"model.layers.{block}.{n}" for n in theirs)
    return {f"{our}.weight": [f"{n}.weight" for n in their] for our, their in table.items()}


def to_hugging_face(state, num_blocks):
    found = {}
    for ours, theirs in names(num_blocks).items():
        found |= dict(zip(theirs, state[ours].chunk(len(theirs)), strict=True))
    return found


def from_hugging_face(state, num_blocks):
    return {
        ours: torch.cat([state[n] for n in theirs]) for ours, theirs in names(num_blocks).items()
    }


def randomize(model, generator):
    """Gains of norms too, which start at 1; logits come out of size 1."""
    with torch.no_grad():
        for parameter in model.parameters():
            norm = parameter.ndim == 1
            parameter.normal_(1.0 if norm else 0.0, 0.3 if norm else 0.1, generator=generator)


def make_pair(tie_weights):
    from transformers import Qwen3Config, Qwen3ForCausalLM

    shape = load_config(CONFIG, {"tie_weights": tie_weights}).architecture(V)
    width, num_heads = shape["embedding_dim"], shape["num_heads"]
    config = Qwen3Config(
        vocab_size=V,
        hidden_size=width,
        intermediate_size=shape["feedforward_dim"],
        num_hidden_layers=shape["num_blocks"],
        num_attention_heads=num_heads,
        num_key_value_heads=num_heads,
        head_dim=width // num_heads,
        max_position_embeddings=shape["block_size"],
        rms_norm_eps=NORM_EPS,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        attention_bias=False,
        tie_word_embeddings=tie_weights,
        bos_token_id=0,
        eos_token_id=0,
    )
    return build_model(**shape).eval(), Qwen3ForCausalLM(config).eval()


both = pytest.mark.parametrize("tie_weights", [True, False], ids=["tied", "untied"])


@both
@pytest.mark.parametrize("source", ["ours", "theirs"])
@pytest.mark.usefixtures("all_float64")  # their norms and angles are else in float32
def test_logits_equal_hugging_faces_qwen3(source, tie_weights, generator, same_logits):
    compare_with_hugging_face(source, tie_weights, generator, same_logits)


@both
@pytest.mark.parametrize("source", ["ours", "theirs"])
def test_logits_are_hugging_faces_but_for_rounding_in_float32(
    source, tie_weights, generator, same_logits
):
    compare_with_hugging_face(source, tie_weights, generator, same_logits)


def compare_with_hugging_face(source, tie_weights, generator, same_logits):
    ours, theirs = make_pair(tie_weights)
    num_blocks = len(ours.blocks)
    randomize(ours if source == "ours" else theirs, generator)
    if source == "ours":
        theirs.load_state_dict(to_hugging_face(ours.state_dict(), num_blocks))
    else:
        ours.load_state_dict(from_hugging_face(theirs.state_dict(), num_blocks))
    tokens = torch.randint(V, (B, ours.block_size), generator=generator)
    expected = theirs(tokens).logits
    assert expected.std() > 0.5  # otherwise closeness would say little
    same_logits(ours(tokens), expected, ours)


@both
def test_both_have_as_many_parameters(tie_weights):
    ours, theirs = make_pair(tie_weights)
    assert sum(p.numel() for p in ours.parameters()) == theirs.num_parameters()


def test_the_shipped_config_is_tied():
    assert load_config(CONFIG).tie_weights
