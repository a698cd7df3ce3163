"""A folder's model computes what transformers computes: logits, and the texts that follow."""

import pytest
import torch
from torch.testing import assert_close

from tests.storage.pretrained.conftest import BLOCK_SIZE, SIZES, VOCAB_SIZE, change_config
from transformer.storage.pretrained.folder import read_pretrained

pytestmark = [pytest.mark.parity, pytest.mark.usefixtures("all_float64")]  # theirs casts to float32
B = 3
LLAMA3 = {
    **{"rope_type": "llama3", "rope_theta": 500.0, "factor": 4.0, "low_freq_factor": 1.0},
    **{"high_freq_factor": 4.0, "original_max_position_embeddings": 32},
}
CASES = [
    ("GPT2", {}),
    ("GPT2", {"tie_word_embeddings": False, "n_inner": None, "activation_function": "relu"}),
    ("GPT2", {"layer_norm_epsilon": 0.01, "activation_function": "gelu"}),
    ("Llama", {}),
    ("Llama", {"tie_word_embeddings": True, "num_key_value_heads": 1, "rms_norm_eps": 0.01}),
    ("Llama", {"num_key_value_heads": 6, "attention_bias": True}),
    ("Llama", {"mlp_bias": True, "rope_parameters": LLAMA3}),
    ("Qwen3", {}),
    ("Qwen3", {"tie_word_embeddings": True, "attention_bias": True}),
    ("Qwen3", {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}}),
]


@pytest.mark.parametrize(("kind", "changes"), CASES, ids=str)
@torch.no_grad()
def test_logits_are_those_of_transformers(save, kind, changes, generator):
    folder, theirs = save(kind, tokenizer=None, **changes)
    tokens = torch.randint(VOCAB_SIZE, (B, BLOCK_SIZE), generator=generator)
    expected = theirs(tokens).logits
    assert expected.std() > 0.5  # otherwise closeness would say little
    assert_close(read_pretrained(folder).model()(tokens), expected, rtol=0, atol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("kind", SIZES)
@torch.no_grad()
def test_the_256_likeliest_tokens_that_follow_are_those_of_transformers(save, kind, generator):
    position = "n_positions" if kind == "GPT2" else "max_position_embeddings"
    folder, theirs = save(kind, tokenizer=None, **{position: 300})
    tokens = torch.randint(VOCAB_SIZE, (2, 5), generator=generator)
    ours = read_pretrained(folder).model().generate(tokens, max_new_tokens=256, temperature=0.0)
    expected = theirs.generate(
        tokens, max_new_tokens=256, do_sample=False, eos_token_id=VOCAB_SIZE, pad_token_id=0
    )
    assert torch.equal(ours, expected)


@pytest.mark.parametrize("kind", SIZES)
@torch.no_grad()
def test_several_files_are_read_as_one(save, kind, generator):
    folder, theirs = save(kind, tokenizer=None, max_shard_size="20KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 2
    tokens = torch.randint(VOCAB_SIZE, (B, BLOCK_SIZE), generator=generator)
    expected = theirs(tokens).logits
    assert_close(read_pretrained(folder).model()(tokens), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("old", [False, True])
@torch.no_grad()
def test_pickled_weights_are_read_as_numbers_alone(save, old, generator):
    folder, theirs = save(tokenizer=None)
    (folder / "model.safetensors").unlink()
    state = theirs.state_dict()
    torch.save(state, folder / "pytorch_model.bin", _use_new_zipfile_serialization=not old)
    tokens = torch.randint(VOCAB_SIZE, (B, BLOCK_SIZE), generator=generator)
    expected = theirs(tokens).logits
    assert_close(read_pretrained(folder).model()(tokens), expected, rtol=0, atol=1e-10)


@torch.no_grad()
def test_names_and_tables_of_older_files_are_known(save, generator):
    """As the first GPT-2: names without a prefix, and causal masks beside the weights."""
    from safetensors.torch import save_file

    folder, theirs = save(tokenizer=None)
    state = {name.removeprefix("transformer."): t for name, t in theirs.state_dict().items()}
    state["h.0.attn.bias"] = torch.ones(1, 1, BLOCK_SIZE, BLOCK_SIZE)
    state["lm_head.weight"] = state["wte.weight"].clone()  # tied, and stored twice
    save_file(state, folder / "model.safetensors")
    tokens = torch.randint(VOCAB_SIZE, (B, BLOCK_SIZE), generator=generator)
    expected = theirs(tokens).logits
    assert_close(read_pretrained(folder).model()(tokens), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("scaling", [None, {"type": "llama3"}])
def test_rotary_positions_are_read_in_the_words_of_transformers_4_too(save, scaling):
    folder, _ = save("Llama", tokenizer=None, rope_parameters=LLAMA3)
    expected = read_pretrained(folder).settings
    assert (expected.rotary_base, expected.rotary_scaling) == (500.0, [4.0, 1.0, 4.0, 32.0])
    if scaling is not None:
        scaling |= {key: LLAMA3[key] for key in LLAMA3 if "rope" not in key}
    change_config(folder, rope_parameters=None, rope_theta=500.0, rope_scaling=scaling)
    found = read_pretrained(folder).settings
    assert found.rotary_base == 500.0
    assert found.rotary_scaling == (None if scaling is None else expected.rotary_scaling)
