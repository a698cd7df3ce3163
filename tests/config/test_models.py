"""What keys must be together, and which of them make which model."""

from pathlib import Path

import pytest

from transformer.config.files import load_config, read_settings
from transformer.config.keys import Config
from transformer.models.families.registry import FAMILIES
from transformer.system.errors import UserError

NINE_KEYS = Path(__file__).parents[2] / "configs" / "nine-keys.yaml"
REQUIRED = {key: setting.value for key, setting in read_settings(NINE_KEYS).items()}

OF_A_TEXT = ("stride", "sample_prompt", "tokenizer")
OF_PAIRS = ("source_units", "target_units", "skip_bad_lines")


def test_head_count_that_does_not_divide_the_width_is_refused_with_both():
    match = "embedding_dim must be divisible by num_heads, got embedding_dim=130 and num_heads=4"
    with pytest.raises(UserError, match=match):
        load_config(NINE_KEYS, {"embedding_dim": 130, "num_heads": 4})


def test_rotary_positions_refuse_an_odd_head_width():
    odd = {"embedding_dim": 33, "num_heads": 3}
    assert load_config(NINE_KEYS, odd).embedding_dim == 33
    with pytest.raises(UserError, match=r"rotary positions need an even .* got 33 / 3 = 11"):
        load_config(NINE_KEYS, odd | {"positions": "rotary"})


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"num_kv_heads": 3}, "num_heads must be divisible by num_kv_heads, got num_heads=8 and"),
        ({"num_kv_heads": 16}, "num_heads must be divisible by num_kv_heads, got num_heads=8 and"),
        ({"num_kv_heads": 0}, "num_kv_heads must be greater than 0"),
        ({"num_kv_heads": "all"}, "num_kv_heads must be a whole number or 'auto'"),
        ({"head_dim": 7, "positions": "rotary"}, "rotary positions need an even head_dim, got 7"),
        ({"rotary_base": 1}, "rotary_base must be greater than 1"),
        ({"rotary_base": 500}, "rotary_base is for rotary positions, got rotary_base=500.0 and"),
        ({"rotary_scaling": [8, 1, 4, 64]}, "rotary_scaling is for rotary positions, got"),
        ({"rotary_scaling": [8, 1], "positions": "rotary"}, "must be 4 numbers .*, got 2"),
        ({"rotary_scaling": [8, 4, 1, 64], "positions": "rotary"}, "must be below .* 4 and 1"),
        ({"norm_eps": 0}, "norm_eps must be greater than 0"),
    ],
    ids=str,
)
def test_heads_positions_and_norms_that_do_not_go_together_are_refused(flags, words):
    with pytest.raises(UserError, match=words):
        load_config(NINE_KEYS, flags)


def test_heads_may_be_wider_than_their_share_of_the_width():
    flags = {"head_dim": 128, "num_kv_heads": 2, "embedding_dim": 130}
    architecture = load_config(NINE_KEYS, flags).architecture(13)
    assert {key: architecture[key] for key in flags} == flags


@pytest.mark.parametrize(
    ("model", "key"),
    [
        *(("bigram", key) for family in FAMILIES.values() for key in family.own_keys()),
        *(("gpt", key) for key in (*OF_PAIRS, "shared_vocabulary")),
        *(("encoder_decoder", key) for key in (*OF_A_TEXT, "token_shift")),
    ],
)
def test_key_of_another_model_or_its_data_is_refused(model, key):
    with pytest.raises(UserError, match=f"{key} does not apply to model: {model}; remove it"):
        load_config(NINE_KEYS, {"model": model, key: Config.model_fields[key].default})


def test_splits_of_pairs_must_leave_something_to_train_on():
    flags = {"model": "encoder_decoder", "val_fraction": 0.5, "test_fraction": 0.5}
    match = "val_fraction \\+ test_fraction must be less than 1, got val_fraction=0.5 and test_"
    with pytest.raises(UserError, match=match):
        load_config(NINE_KEYS, flags)


def test_shared_vocabulary_needs_the_same_units_on_both_sides():
    flags = {"model": "encoder_decoder", "shared_vocabulary": True, "target_units": "words"}
    match = "got source_units=characters and target_units=words"
    with pytest.raises(UserError, match=match):
        load_config(NINE_KEYS, flags)
    assert load_config(NINE_KEYS, flags | {"source_units": "words"}).shared_vocabulary


def test_two_passes_that_could_not_differ_are_refused():
    flags = {"model": "encoder_decoder", "r_drop": 1}
    with pytest.raises(UserError, match="r_drop: 1 needs a dropout above 0; set both or none"):
        load_config(NINE_KEYS, flags)
    assert load_config(NINE_KEYS, flags | {"dropout": 0.1}).r_drop == 1
    assert load_config(NINE_KEYS, flags | {"target_dropout": 0.1}).r_drop == 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"optimizer": "muon"}, "does not go with optimizer muon, .* give strategy ddp or"),
        ({"compile": True}, "does not go with compile: true"),
        ({"precision": "fp16"}, "does not go with precision fp16; give bf16 or float32"),
        ({"model": "bigram"}, "does not go with model bigram, which has no blocks"),
    ],
)
def test_what_cannot_be_sharded_is_refused(flags, message):
    with pytest.raises(UserError, match=f"strategy fsdp {message}"):
        load_config(NINE_KEYS, {"strategy": "fsdp"} | flags)


def test_bigram_model_asks_nothing_of_heads_and_leaves_out_their_keys():
    config = load_config(NINE_KEYS, {"model": "bigram", "num_heads": 5})
    assert not set(FAMILIES["gpt"].own_keys()) & set(config.resolved())
    assert config.architecture(13) == {"vocab_size": 13, "model": "bigram", "block_size": 256}


@pytest.mark.parametrize(
    ("activation", "embedding_dim", "width"),
    [
        *(("gelu", 384, 1536), ("relu2", 11, 44)),
        *(("swiglu", 384, 1024), ("swiglu", 512, 1368), ("swiglu", 11, 32), ("swiglu", 1, 8)),
    ],
)
def test_default_feedforward_width_is_4_c_and_8_thirds_c_for_swiglu(
    activation, embedding_dim, width
):
    keys = {"activation": activation, "embedding_dim": embedding_dim, "num_heads": 1}
    config = Config(**REQUIRED | keys)
    assert config.resolved()["feedforward_dim"] is None  # still follows embedding_dim
    assert config.architecture(13)["feedforward_dim"] == width


def test_feedforward_width_that_was_given_is_kept():
    assert Config(**REQUIRED, feedforward_dim=17).resolved()["feedforward_dim"] == 17


def test_architecture_holds_the_plain_arguments_of_the_model():
    assert Config(**REQUIRED).architecture(65) == {
        **{"vocab_size": 65, "model": "gpt", "block_size": 256, "positions": "learned"},
        **{"norm": "layernorm", "norm_first": True, "activation": "gelu", "bias": True},
        **{"feedforward_dim": 2048, "dropout": 0.0, "tie_weights": True, "num_blocks": 6},
        **{"embedding_dim": 512, "num_heads": 8, "qk_norm": False, "num_kv_heads": 8},
        **{"head_dim": 64, "rotary_base": 10000.0, "rotary_scaling": None, "norm_eps": 1e-5},
        **{"ngram_size": 1, "ngram_buckets": 8192, "token_shift": False},
    }


def test_architecture_of_pairs_holds_both_vocabularies():
    config = Config(**REQUIRED, model="encoder_decoder")
    architecture = config.architecture(vocab_size=13, source_vocab_size=11)
    assert (architecture["vocab_size"], architecture["source_vocab_size"]) == (13, 11)
    assert set(FAMILIES["encoder_decoder"].own_keys()) < set(architecture)


def test_a_test_split_is_kept_of_pairs_and_of_a_text_that_asks_for_it():
    assert load_config(NINE_KEYS).test_fraction == 0
    assert load_config(NINE_KEYS, {"test_fraction": 0.1}).test_fraction == 0.1
    assert load_config(NINE_KEYS, {"model": "encoder_decoder"}).test_fraction == 0.1
    with pytest.raises(UserError, match=r"val_fraction \+ test_fraction must be less than 1"):
        load_config(NINE_KEYS, {"val_fraction": 0.5, "test_fraction": 0.5})
