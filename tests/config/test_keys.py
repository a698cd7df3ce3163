"""The keys of a run: their defaults, their ranges, and what they must be together."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

import transformer
from transformer.config.data_keys import REQUIRED_KEYS
from transformer.config.files import load_config
from transformer.config.keys import Config, foreign_keys
from transformer.models.families.registry import FAMILIES
from transformer.system.errors import UserError

NINE_KEYS = Path(__file__).parents[2] / "configs" / "nine-keys.yaml"
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
    "rotary_base": 10000.0,
    "rotary_scaling": None,
    "num_kv_heads": "auto",
    "head_dim": "auto",
    "norm_eps": 1e-5,
    "ngram_size": 1,
    "ngram_buckets": 8192,
    "token_shift": False,
    "target_dropout": 0.0,
    "ctc_weight": 0.0,
    "shared_vocabulary": False,
    "optimizer": "adamw",
    "weight_decay": 0.1,
    "momentum": 0.95,
    "polar": "auto",
    "beta1": 0.9,
    "beta2": 0.95,
    "eps": 1e-8,
    "label_smoothing": 0.0,
    "r_drop": 0.0,
    "grad_clip": 1.0,
    "schedule": "cosine",
    "warmup_steps": "auto",
    "decay_fraction": 0.6,
    "final_lr_fraction": 0.1,
    "max_steps": None,
    "max_minutes": None,
    "tokenizer": "characters",
    "vocab_size": "auto",
    "min_frequency": 2,
    "stride": 1,
    "source_units": "characters",
    "target_units": "characters",
    "skip_bad_lines": False,
    "data_weights": None,
    "text_field": "text",
    "encoding": "utf-8",
    "skip_bad_files": False,
    "drop_lines_seen": None,
    "drop_duplicates": False,
    "replace_rare": False,
    "document_separator": r"\n\n",
    "token_files_from_mb": 64.0,
    "val_path": None,
    "test_path": None,
    "val_max_tokens": "auto",
    "val_fraction": 0.1,
    "test_fraction": 0.0,
    "val_every_steps": "auto",
    "checkpoint_every_minutes": 5.0,
    "snapshots": 0,
    "patience": None,
    "logger": "tensorboard",
    "sample_prompt": "",
    "accelerator": "auto",
    "devices": 1,
    "num_nodes": 1,
    "strategy": "auto",
    "precision": "auto",
    "attention": "auto",
    "num_threads": "auto",
    "cache_dir": None,
    "compile": "auto",
    "accumulate_grad_batches": 1,
    "activation_checkpointing": False,
    "race": True,
    **{"start_from": None, "old_data_path": None, "replay_fraction": 0.0},
    **{"lora_rank": None, "lora_alpha": None, "lora_dropout": 0.0, "base_precision": "float32"},
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
    ("r_drop", (-0.1,), "at least 0"),
    ("ctc_weight", (-0.1,), "at least 0"),
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
    ("data_path", (None,), "text or a list, got None"),
    ("model", ("llama", 3), "'gpt', 'bigram' or 'encoder_decoder', got"),
    ("optimizer", ("sgd", None), "'adamw' or 'muon', got"),
    ("stride", ("block", None, 1.5), "a whole number or 'block_size', got"),
    ("warmup_steps", ("automatic", None), "a whole number or 'auto', got"),
    ("compile", ("sometimes", 3), "true or false or 'auto', got"),
    ("source_units", ("letters", None), "'characters', 'words' or 'pieces', got"),
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


def each_value(table):
    return [(key, value, words) for key, values, words in table for value in values]


def test_nine_key_file_is_valid_as_it_stands():
    config = load_config(NINE_KEYS)
    assert {key: getattr(config, key) for key in REQUIRED_KEYS} == REQUIRED
    assert type(config.lr) is float


def test_defaults_make_the_classic_gpt():
    assert Config(**REQUIRED).model_dump() == REQUIRED | DEFAULTS


def test_default_of_each_key_is_a_valid_value():
    for model in FAMILIES:
        defaults = {key: DEFAULTS[key] for key in DEFAULTS.keys() - foreign_keys(model)}
        Config.model_validate(REQUIRED | defaults | {"model": model})


@pytest.mark.parametrize("value", ["1e3", "1000", 1000, 1000.0, "1000.0"])
def test_whole_numbers_may_be_written_in_any_notation(value):
    config = Config.model_validate(REQUIRED | {"max_steps": value})
    assert config.max_steps == 1000
    assert type(config.max_steps) is int


@pytest.mark.parametrize("key", NUMBERS)
@pytest.mark.parametrize("value", [True, False])
def test_true_and_false_are_no_numbers(key, value):
    with pytest.raises(UserError, match=rf"--{key}: {key} must be a .*number.*, got {value}"):
        load_config(NINE_KEYS, {key: value})


@pytest.mark.parametrize(("key", "value", "words"), each_value(OUT_OF_RANGE))
def test_value_out_of_range_is_refused_with_the_bound(key, value, words):
    with pytest.raises(UserError, match=f"^--{key}: {key} must be {words}.*, got "):
        load_config(NINE_KEYS, {key: value})


@pytest.mark.parametrize(("key", "value", "words"), each_value(WRONG_TYPE))
def test_value_of_another_type_is_refused_with_what_is_wanted(key, value, words):
    with pytest.raises(UserError, match=f"^--{key}: {key} must be {words}"):
        load_config(NINE_KEYS, {key: value})


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
def test_value_on_the_right_side_of_its_bound_is_kept(key, value):
    assert getattr(load_config(NINE_KEYS, {key: value}), key) == value


def test_config_is_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        Config(**REQUIRED).lr = 1.0  # type: ignore[misc]


def test_committed_schema_is_that_of_the_fields():
    path = Path(__file__).parents[2] / "configs" / "schema.json"
    committed = json.loads(path.read_text(encoding="utf-8"))
    assert committed == Config.model_json_schema(), (
        "configs/schema.json is stale; renew it with "
        "`python train.py --print_schema > configs/schema.json`"
    )


def test_a_class_that_only_gives_config_its_keys_checks_nothing_so_nothing_is_built_for_it():
    load_config(NINE_KEYS)
    built = [kind for kind in Config.__mro__ if getattr(kind, "__pydantic_complete__", False)]
    assert built == [Config]


def test_the_folder_gives_the_config_that_the_package_gives():
    assert transformer.config.Config is transformer.Config is Config
