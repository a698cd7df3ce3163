"""Flags are made from the fields of a config, and a mistake in them is one line."""

import re
from typing import Any

import pytest

import evaluate
import generate
import train
from explain import ExplainOptions
from plot import PlotOptions
from transformer.config.files import leaves
from transformer.config.flags import FlagParser, add_checkpoint, add_flags, check_flags, given_flags
from transformer.config.keys import Config, foreign_keys
from transformer.system.errors import UserError
from transformer.system.terminal import run_script

# A value for each key, as the command line hands it over, that differs from the default.
GIVEN = {
    **{"batch_size": "5", "epochs": "3", "lr": "1e-3", "data_path": "a b.txt", "block_size": "7"},
    **{"num_heads": "3", "embedding_dim": "33", "num_blocks": "2", "num_workers": "0"},
    **{"model": "gpt", "positions": "rotary", "norm": "rmsnorm", "norm_first": "false"},
    **{"activation": "swiglu", "feedforward_dim": "17", "dropout": "0.2", "bias": "false"},
    **{"rotary_base": "1e6", "rotary_scaling": "8", "num_kv_heads": "3", "head_dim": "16"},
    "norm_eps": "1e-6",
    **{"qk_norm": "true", "ngram_size": "2", "ngram_buckets": "64"},
    **{
        "tokenizer": "bpe",
        "vocab_size": "300",
        "min_frequency": "3",
        "token_shift": "true",
        "shared_vocabulary": "true",
        "label_smoothing": "0.1",
    },
    **{"target_dropout": "0.2", "ctc_weight": "0.3", "r_drop": "1"},
    **{"source_units": "words", "target_units": "words", "skip_bad_lines": "true"},
    **{"data_weights": "2", "text_field": "body", "encoding": "latin-1", "skip_bad_files": "true"},
    **{"document_separator": "***", "val_path": "own.txt", "val_max_tokens": "1e4"},
    **{"test_path": "own.tsv", "token_files_from_mb": "32", "drop_lines_seen": "7"},
    **{"drop_duplicates": "true", "replace_rare": "20"},
    **{"test_fraction": "0", "momentum": "0.9", "polar": "zolotarev", "beta1": "0.8"},
    **{"tie_weights": "false", "optimizer": "adamw", "weight_decay": "0.2"},
    **{"beta2": "0.99", "eps": "1e-9", "grad_clip": "0", "schedule": "noam", "warmup_steps": "1e2"},
    **{"decay_fraction": "0.5", "final_lr_fraction": "0", "max_steps": "1e3", "max_minutes": "0.5"},
    **{"stride": "block_size", "val_fraction": "0.2", "val_every_steps": "11", "patience": "3"},
    "snapshots": "5",
    "logger": "csv",
    "checkpoint_every_minutes": "0.5",
    **{"sample_prompt": "ROMEO:", "accelerator": "cpu", "devices": "auto", "num_nodes": "2"},
    **{
        "strategy": "ddp",
        "precision": "float32",
        "attention": "fused",
        "num_threads": "2",
        "cache_dir": "speeds",
        "compile": "false",
        "race": "false",
        "seed": "13",
    },
    **{"start_from": "runs/first", "old_data_path": "old.txt", "replay_fraction": "0.2"},
    **{"lora_rank": "5", "lora_alpha": "7", "lora_dropout": "0.1", "base_precision": "int8"},
    **{"accumulate_grad_batches": "2", "activation_checkpointing": "true"},
    **{"runs_dir": "elsewhere", "run_name": "first"},
}
OPTIONS = [Config, generate.GenerateOptions, evaluate.EvaluateOptions]


def make_parser(kind) -> FlagParser:
    parser = FlagParser(prog="script.py")
    add_flags(parser, kind)
    return parser


def parse(*argv: str, kind: Any = Config) -> dict[str, Any]:
    return given_flags(make_parser(kind).parse(list(argv)), kind)


def without_space(text: str) -> str:
    """Help is wrapped at spaces and hyphens."""
    return re.sub(r"\s", "", text)


def test_every_key_has_a_row_in_the_table_of_this_test():
    assert list(GIVEN) == [key for key in GIVEN if key in Config.model_fields]
    assert set(GIVEN) == set(Config.model_fields)


@pytest.mark.parametrize("key", Config.model_fields)
def test_every_key_is_a_flag(key):
    assert parse(f"--{key}", GIVEN[key]) == {key: GIVEN[key]}
    assert parse(f"--{key}={GIVEN[key]}") == {key: GIVEN[key]}


def test_flags_alone_make_a_config_with_their_values():
    left_out = foreign_keys("gpt") | {"rotary_scaling"}  # needs four values
    given = {key: GIVEN[key] for key in GIVEN.keys() - left_out}
    config = check_flags(Config, parse(*(part for k, v in given.items() for part in (f"--{k}", v))))
    assert (config.lr, config.max_steps, config.stride) == (1e-3, 1000, "block_size")
    assert (config.norm_first, config.compile, config.data_path) == (False, False, "a b.txt")


@pytest.mark.parametrize("kind", OPTIONS)
def test_flag_that_is_not_given_leaves_the_default_alone(kind):
    assert parse(kind=kind) == {}


@pytest.mark.parametrize("kind", OPTIONS)
def test_help_has_the_description_and_default_of_every_flag(kind):
    text = without_space(make_parser(kind).format_help())
    for name, field in kind.model_fields.items():
        shown = str(field.default).lower() if isinstance(field.default, bool) else field.default
        default = "" if shown in (None, "", ()) else f"(default {shown})".replace("\n", "\\n")
        note = "(required)" if field.is_required() else default
        assert without_space(f"{field.description} {note}") in text, name
        assert f"--{name}" in text


def test_help_lists_the_choices_of_a_flag():
    text = without_space(make_parser(Config).format_help())
    assert "--positionslearned|sinusoidal|rotary|none" in text
    assert "--compile[true|false|auto]" in text
    assert "--strideN|block_size" in text


@pytest.mark.parametrize(
    ("flag", "nearest"),
    [("--bach_size", "--batch_size"), ("--dropuot=0.1", "--dropout"), ("--block-size", "--block_")],
)
def test_unknown_flag_is_an_error_with_the_nearest_name(flag, nearest):
    name = flag.split("=")[0]
    with pytest.raises(UserError, match=rf"^unknown flag '{name}': did you mean {nearest}"):
        parse(flag, "5")


def test_unknown_flag_that_resembles_none_points_to_help():
    with pytest.raises(UserError, match="unknown flag '--qqqqq': --help lists them all"):
        parse("--qqqqq")


@pytest.mark.parametrize("flag", ["--batch", "--epoch", "--embedding", "--acc"])
def test_flags_cannot_be_abbreviated(flag):
    with pytest.raises(UserError, match=f"unknown flag '{flag}'"):
        parse(flag, "5")


def test_word_without_a_flag_is_an_error():
    with pytest.raises(UserError, match=r"unexpected argument 'my\.yaml': flags start with --"):
        parse("my.yaml")


def test_negative_infinity_is_a_value_and_no_flag():
    assert parse("--lr", "-.inf") == {"lr": "-.inf"}


def test_flag_without_a_value_is_an_error_that_names_it():
    with pytest.raises(UserError, match=r"argument --lr: expected one argument \(--help lists"):
        parse("--lr")


@pytest.mark.parametrize("key", ["feedforward_dim", "max_steps", "max_minutes", "run_name"])
@pytest.mark.parametrize("word", ["none", "None", "null"])
def test_none_unsets_a_key_that_may_be_unset(key, word):
    assert parse(f"--{key}", word) == {key: None}


@pytest.mark.parametrize("key", ["positions", "data_path", "sample_prompt"])
def test_none_is_a_word_like_others_where_a_key_must_be_set(key):
    assert parse(f"--{key}", "none") == {key: "none"}


def test_switch_needs_no_value():
    kind = generate.GenerateOptions
    assert check_flags(kind, parse("--skip_unknown", kind=kind)).skip_unknown is True
    assert check_flags(kind, parse("--skip_unknown", "false", kind=kind)).skip_unknown is False


SWITCHES = [name for name, field in Config.model_fields.items() if bool in leaves(field.annotation)]


@pytest.mark.parametrize("key", SWITCHES)
def test_every_switch_is_true_without_a_value_and_swallows_nothing(key):
    assert parse(f"--{key}", "--lr", "1") == {key: "true", "lr": "1"}
    for words in ([f"--{key}", "false"], [f"--{key}=false"], [f"--{key}", "--lr", "1"]):
        assert parse(*words)[key] == ("true" if words[-1] == "1" else "false")
    with pytest.raises(UserError, match=f"^--{key}: {key} must be true or false.*, got 'perhaps'"):
        parse(f"--{key}", "perhaps")


def test_a_switch_takes_a_word_of_its_own():
    assert parse("--compile", "auto", "--bias", "TRUE") == {"compile": "auto", "bias": "TRUE"}


@pytest.mark.parametrize("script", ["generate", "evaluate", "explain"])
@pytest.mark.parametrize(
    "words",
    [
        *("--skip_unknown MODEL", "MODEL --skip_unknown", "--skip_unknown true MODEL"),
        *("--device cpu MODEL", "--skip_unknown --device cpu MODEL"),
        "--skip_unknown=true MODEL --device cpu",
    ],
)
def test_flags_stand_before_or_behind_the_file(script, words):
    kinds = {"generate": generate.GenerateOptions, "evaluate": evaluate.EvaluateOptions}
    parser = make_parser(kinds.get(script, ExplainOptions))
    add_checkpoint(parser)
    parser.add_argument("--json", action="store_true")
    for before in ([], ["--json"], ["--json", "true"], ["--json=true"]):
        arguments = parser.parse([*before, *words.split()])
        assert (arguments.checkpoint, arguments.json) == ("MODEL", bool(before))
        assert getattr(arguments, "skip_unknown", "true") == "true"
    assert parser.parse(["--json", "false", "MODEL"]).json is False


@pytest.mark.parametrize(
    "words",
    ["--out a.png one two", "one two --out a.png", "one --out a.png two", "one two --out=a.png"],
)
def test_flags_stand_between_runs_too(words):
    parser = make_parser(PlotOptions)
    parser.add_argument("runs", nargs="*")
    arguments = parser.parse(words.split())
    assert (arguments.runs, arguments.out) == (["one", "two"], "a.png")


def test_a_prompt_may_look_like_anything():
    kind = generate.GenerateOptions
    given = parse("--prompt", "true", "--stop", "false", "--stop", "null", "--info", kind=kind)
    assert given == {"prompt": "true", "stop": ["false", "null"], "info": "true"}
    assert parse("--prompt=--info", kind=kind) == {"prompt": "--info"}


def test_wrong_value_of_a_flag_is_an_error_that_names_the_flag():
    kind = generate.GenerateOptions
    with pytest.raises(UserError, match=r"^--top_p: top_p must be at most 1, got '1\.5'$"):
        check_flags(kind, parse("--top_p", "1.5", kind=kind))


def test_flag_of_train_goes_before_its_config_file(tmp_path):
    path = tmp_path / "mine.yaml"
    lines = [f"{key}: {GIVEN[key]}" for key in list(GIVEN)[:9]]
    path.write_text("\n".join([*lines, "seed: 3", "max_steps: 5"]), encoding="utf-8")
    flags = ["--seed", "4", "--max_steps", "none"]
    config, resume, repeat, *switches = train.parse_arguments(["--config", str(path), *flags])
    assert (config.seed, config.max_steps, config.epochs) == (4, None, 3)
    assert (config.run_name, resume.checkpoints, repeat) == ("mine", (), None)
    assert not any(switches)


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (UserError("no such file:\nmend it"), 2, "error: no such file: mend it\n"),
        (KeyboardInterrupt(), 130, ""),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: 7 bytes\nmore"),
            2,
            "error: out of memory: DefaultCPUAllocator: can't allocate memory: 7 bytes: "
            "give fewer texts, a smaller batch or model\n",
        ),
    ],
)
def test_script_turns_a_mistake_into_one_line_and_a_status(capsys, error, status, line):
    def main() -> int:
        raise error

    with pytest.raises(SystemExit) as exit_info:
        run_script(main)
    assert exit_info.value.code == status
    assert capsys.readouterr().err == line


def test_an_error_of_the_program_stays_one():
    def main() -> int:
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes do not fit"):
        run_script(main)


@pytest.mark.parametrize(("returned", "status"), [(None, 0), (0, 0), (3, 3)])
def test_script_exits_with_what_its_main_returns(returned, status):
    with pytest.raises(SystemExit) as exit_info:
        run_script(lambda: returned)
    assert exit_info.value.code == status
