"""The keys of a run: their defaults, their ranges, and what they must be together."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from transformer.config import DATA_KEYS, MODEL_KEYS, REQUIRED_KEYS, Config, foreign_keys
from transformer.config_files import load_config
from transformer.errors import UserError

NINE_KEYS = """\
batch_size: 256
epochs: 2
lr: 3e-4
data_path:  './data/input.txt'
block_size: 256
num_heads: 8
embedding_dim: 512
num_blocks: 6
num_workers: 12
"""
REQUIRED = {
    "batch_size": 256,
    "epochs": 2,
    "lr": 3e-4,
    "data_path": "./data/input.txt",
    "block_size": 256,
    "num_heads": 8,
    "embedding_dim": 512,
    "num_blocks": 6,
    "num_workers": 12,
}
# The classic GPT: learned positions, pre-norm with LayerNorm, exact GELU, tied weights, AdamW.
DEFAULTS = {
    "model": "gpt",
    "positions": "learned",
    "norm": "layernorm",
    "norm_first": True,
    "qk_norm": False,
    "activation": "gelu",
    "feedforward_dim": None,
    "dropout": 0.0,
    "bias": True,
    "tie_weights": True,
    "ngram_size": 1,
    "ngram_buckets": 8192,
    "token_shift": False,
    "shared_vocabulary": False,
    "optimizer": "adamw",
    "weight_decay": 0.1,
    "momentum": 0.95,
    "beta1": 0.9,
    "beta2": 0.95,
    "eps": 1e-8,
    "label_smoothing": 0.0,
    "grad_clip": 1.0,
    "schedule": "cosine",
    "warmup_steps": "auto",
    "decay_fraction": 0.6,
    "final_lr_fraction": 0.1,
    "max_steps": None,
    "max_minutes": None,
    "stride": 1,
    "source_units": "characters",
    "target_units": "characters",
    "skip_bad_lines": False,
    "val_fraction": 0.1,
    "test_fraction": 0.1,
    "val_every_steps": "auto",
    "patience": None,
    "sample_prompt": "\n",
    "accelerator": "auto",
    "devices": 1,
    "num_nodes": 1,
    "strategy": "auto",
    "precision": "auto",
    "compile": "auto",
    "accumulate_grad_batches": 1,
    "seed": 0,
    "runs_dir": "runs",
    "run_name": None,
}
NAN, INF = float("nan"), float("inf")
# One row a bound: key, values it refuses, what it must be.
OUT_OF_RANGE = [
    ("batch_size", (0, -1), "greater than 0"),
    ("epochs", (0, -1), "greater than 0"),
    ("lr", (0, -1e-3), "greater than 0"),
    ("lr", (NAN, INF, -INF, "1e999"), "a finite number"),
    ("block_size", (0, -1), "greater than 0"),
    ("num_heads", (0, -1), "greater than 0"),
    ("embedding_dim", (0, -1), "greater than 0"),
    ("num_blocks", (0, -1), "greater than 0"),
    ("num_blocks", (NAN, INF, "1e999"), "a finite number"),
    ("num_workers", (-1,), "at least 0"),
    ("data_path", ("",), "not empty"),
    ("feedforward_dim", (0, -1), "greater than 0"),
    ("ngram_size", (0, -1), "greater than 0"),
    ("ngram_size", (6,), "at most 5"),
    ("ngram_buckets", (0, -1), "greater than 0"),
    ("dropout", (-0.1,), "at least 0"),
    ("dropout", (1, 1.5), "less than 1"),
    ("dropout", (NAN, INF), "a finite number"),
    ("weight_decay", (-0.1,), "at least 0"),
    ("momentum", (-0.1,), "at least 0"),
    ("momentum", (1,), "less than 1"),
    ("beta1", (-0.1,), "at least 0"),
    ("beta1", (1,), "less than 1"),
    ("beta2", (-0.1,), "at least 0"),
    ("beta2", (1,), "less than 1"),
    ("eps", (0, -1e-8), "greater than 0"),
    ("label_smoothing", (-0.1,), "at least 0"),
    ("label_smoothing", (1,), "less than 1"),
    ("grad_clip", (-1,), "at least 0"),
    ("warmup_steps", (-1,), "at least 0"),
    ("decay_fraction", (-0.1,), "at least 0"),
    ("decay_fraction", (1,), "less than 1"),
    ("final_lr_fraction", (-0.1,), "at least 0"),
    ("final_lr_fraction", (1,), "less than 1"),
    ("max_steps", (0, -1), "greater than 0"),
    ("max_minutes", (0, -1), "greater than 0"),
    ("stride", (0, -1), "greater than 0"),
    ("val_fraction", (0, -0.1), "greater than 0"),
    ("val_fraction", (1, 1.5), "less than 1"),
    ("test_fraction", (-0.1,), "at least 0"),
    ("test_fraction", (1,), "less than 1"),
    ("val_every_steps", (0, -1), "greater than 0"),
    ("patience", (0, -1), "greater than 0"),
    ("devices", (0, -1), "greater than 0"),
    ("num_nodes", (0, -1), "greater than 0"),
    ("accumulate_grad_batches", (0, -1), "greater than 0"),
    ("seed", (-1,), "at least 0"),
    ("seed", (2**32,), "at most 4294967295"),
    ("runs_dir", ("",), "not empty"),
    ("run_name", ("", "a/b", "a\\b", "..", "a ", "a\0", "a\n", "con:"), "a plain folder name"),
]
WRONG_TYPE = [
    ("batch_size", (1.5, "1e-3"), "a whole number, got"),
    ("batch_size", ("many", None), "a whole number, got"),
    ("lr", ("fast", None, "3e-4x"), "a number, got"),
    ("bias", ("maybe", 3, None), "true or false, got"),
    ("data_path", (None,), "text, got None"),
    ("model", ("llama", 3), "'gpt', 'encoder_decoder' or 'bigram', got"),
    ("optimizer", ("sgd", None), "'adamw' or 'muon', got"),
    ("stride", ("block", None, 1.5), "a whole number or 'block_size', got"),
    ("warmup_steps", ("automatic", None), "a whole number or 'auto', got"),
    ("compile", ("sometimes", 3), "true or false or 'auto', got"),
    ("source_units", ("letters", None), "'characters' or 'words', got"),
]
NUMBERS = [
    *("batch_size", "lr", "block_size", "feedforward_dim", "dropout", "weight_decay", "eps"),
    *(
        "ngram_size",
        "ngram_buckets",
        "warmup_steps",
        "max_steps",
        "max_minutes",
        "stride",
        "val_fraction",
        "devices",
        "seed",
    ),
]


@pytest.fixture
def nine_keys(tmp_path: Path) -> Path:
    path = tmp_path / "nine.yaml"
    path.write_text(NINE_KEYS, encoding="utf-8")
    return path


def each_value(table):
    return [(key, value, words) for key, values, words in table for value in values]


def test_nine_key_file_is_valid_as_it_stands(nine_keys):
    config = load_config(nine_keys)
    assert {key: getattr(config, key) for key in REQUIRED_KEYS} == REQUIRED
    assert type(config.lr) is float  # PyYAML reads 3e-4 as text


def test_defaults_make_the_classic_gpt():
    assert Config(**REQUIRED).model_dump() == REQUIRED | DEFAULTS


def test_default_of_each_key_is_a_valid_value():
    for model in MODEL_KEYS:
        defaults = {key: DEFAULTS[key] for key in DEFAULTS.keys() - foreign_keys(model)}
        Config.model_validate(REQUIRED | defaults | {"model": model})


@pytest.mark.parametrize("value", ["1e3", "1000", 1000, 1000.0, "1000.0"])
def test_whole_numbers_may_be_written_in_any_notation(value):
    config = Config.model_validate(REQUIRED | {"max_steps": value})
    assert config.max_steps == 1000
    assert type(config.max_steps) is int


@pytest.mark.parametrize("key", NUMBERS)
@pytest.mark.parametrize("value", [True, False])
def test_true_and_false_are_no_numbers(nine_keys, key, value):
    with pytest.raises(UserError, match=rf"--{key}: {key} must be a .*number.*, got {value}"):
        load_config(nine_keys, {key: value})


@pytest.mark.parametrize(("key", "value", "words"), each_value(OUT_OF_RANGE))
def test_value_out_of_range_is_refused_with_the_bound(nine_keys, key, value, words):
    with pytest.raises(UserError, match=f"^--{key}: {key} must be {words}.*, got "):
        load_config(nine_keys, {key: value})


@pytest.mark.parametrize(("key", "value", "words"), each_value(WRONG_TYPE))
def test_value_of_another_type_is_refused_with_what_is_wanted(nine_keys, key, value, words):
    with pytest.raises(UserError, match=f"^--{key}: {key} must be {words}"):
        load_config(nine_keys, {key: value})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("num_workers", 0), ("weight_decay", 0), ("grad_clip", 0), ("warmup_steps", 0)),
        *(("seed", 2**32 - 1), ("dropout", 0.99), ("final_lr_fraction", 0), ("beta1", 0)),
        *(("stride", "block_size"), ("warmup_steps", "auto"), ("val_every_steps", "auto")),
        *(("devices", "auto"), ("compile", "auto"), ("compile", False), ("stride", 7)),
        *(("feedforward_dim", None), ("patience", None), ("run_name", "my run.2")),
        *(("ngram_size", 5), ("ngram_buckets", 1), ("qk_norm", True), ("optimizer", "muon")),
    ],
)
def test_value_on_the_right_side_of_its_bound_is_kept(nine_keys, key, value):
    assert getattr(load_config(nine_keys, {key: value}), key) == value


def test_head_count_that_does_not_divide_the_width_is_refused_with_both(nine_keys):
    match = "embedding_dim must be divisible by num_heads, got embedding_dim=130 and num_heads=4"
    with pytest.raises(UserError, match=match):
        load_config(nine_keys, {"embedding_dim": 130, "num_heads": 4})


def test_rotary_positions_refuse_an_odd_head_width(nine_keys):
    odd = {"embedding_dim": 33, "num_heads": 3}
    assert load_config(nine_keys, odd).embedding_dim == 33
    with pytest.raises(UserError, match=r"rotary positions need an even .* got 33 / 3 = 11"):
        load_config(nine_keys, odd | {"positions": "rotary"})


@pytest.mark.parametrize(
    ("model", "key"),
    [
        *(("bigram", key) for key in MODEL_KEYS["encoder_decoder"]),
        *(("gpt", key) for key in (*DATA_KEYS["encoder_decoder"], "shared_vocabulary")),
        *(("encoder_decoder", key) for key in (*DATA_KEYS["gpt"], "token_shift")),
    ],
)
def test_key_of_another_model_or_its_data_is_refused(nine_keys, model, key):
    with pytest.raises(UserError, match=f"{key} does not apply to model: {model}; remove it"):
        load_config(nine_keys, {"model": model, key: DEFAULTS[key]})


def test_splits_of_pairs_must_leave_something_to_train_on(nine_keys):
    flags = {"model": "encoder_decoder", "val_fraction": 0.5, "test_fraction": 0.5}
    match = "val_fraction \\+ test_fraction must be less than 1, got val_fraction=0.5 and test_"
    with pytest.raises(UserError, match=match):
        load_config(nine_keys, flags)


def test_shared_vocabulary_needs_the_same_units_on_both_sides(nine_keys):
    flags = {"model": "encoder_decoder", "shared_vocabulary": True, "target_units": "words"}
    match = "got source_units=characters and target_units=words"
    with pytest.raises(UserError, match=match):
        load_config(nine_keys, flags)
    assert load_config(nine_keys, flags | {"source_units": "words"}).shared_vocabulary


@pytest.mark.parametrize("key", MODEL_KEYS["gpt"])
def test_key_of_a_part_that_the_bigram_model_lacks_is_refused(nine_keys, key):
    flags = {"model": "bigram", key: DEFAULTS[key]}
    with pytest.raises(UserError, match=f"{key} does not apply to model: bigram; remove it"):
        load_config(nine_keys, flags)


def test_bigram_model_asks_nothing_of_heads_and_leaves_out_their_keys(nine_keys):
    config = load_config(nine_keys, {"model": "bigram", "num_heads": 5})
    assert not set(MODEL_KEYS["gpt"]) & set(config.resolved())
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
        **{"embedding_dim": 512, "num_heads": 8, "qk_norm": False},
        **{"ngram_size": 1, "ngram_buckets": 8192, "token_shift": False},
    }


def test_architecture_of_pairs_holds_both_vocabularies():
    config = Config(**REQUIRED, model="encoder_decoder")
    architecture = config.architecture(vocab_size=13, source_vocab_size=11)
    assert (architecture["vocab_size"], architecture["source_vocab_size"]) == (13, 11)
    assert set(MODEL_KEYS["encoder_decoder"]) < set(architecture)


def test_config_is_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        Config(**REQUIRED).lr = 1.0  # type: ignore[misc]


def test_committed_schema_is_that_of_the_fields():
    path = Path(__file__).parents[1] / "configs" / "schema.json"
    committed = json.loads(path.read_text(encoding="utf-8"))
    assert committed == Config.model_json_schema(), (
        "configs/schema.json is stale; renew it with "
        "`python train.py --print_schema > configs/schema.json`"
    )
