"""The same text means the same in a file and behind a flag, as YAML 1.2's core schema has it."""

import re
from pathlib import Path
from typing import Annotated

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

import train
from evaluate import EvaluateOptions
from explain import ExplainOptions
from plot import PlotOptions
from tests.marks import first_fast
from transformer.config import scalars
from transformer.config.data_keys import REQUIRED_KEYS
from transformer.config.files import leaves, load_config, to_yaml
from transformer.config.keys import Config
from transformer.config.planned_keys import PLANNED_KEYS
from transformer.data.tokenizers.characters import CharacterTokenizer
from transformer.generation.interactive import PromptLoop
from transformer.generation.options import GenerateOptions
from transformer.generation.text import TextGenerator
from transformer.system.errors import UserError

NINE_KEYS = """\
batch_size: 5
epochs: 2
lr: 1.0e-3
data_path: corpus.txt
block_size: 7
num_heads: 3
embedding_dim: 33
num_blocks: 2
num_workers: 0
"""
INF, NAN = float("inf"), float("nan")
# Each spelling, and what YAML 1.2 says that it is; a text stands for itself.
SPELLINGS = {
    **{"0": 0, "10": 10, "010": 10, "+5": 5, "-0": 0, "-7": -7, "0x10": 16, "0xfF": 255},
    **{"0o17": 15, "9007199254740993": 9007199254740993, "1.": 1.0, ".5": 0.5, "-1.5": -1.5},
    **{"1e3": 1e3, "1E3": 1e3, "3e-4": 3e-4, "1.0e-2": 0.01, "+12e03": 12000.0, "1e400": INF},
    **{".inf": INF, "-.Inf": -INF, "+.INF": INF},
    **{"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False},
    **{"null": None, "Null": None, "NULL": None, "~": None},
    **{text: text for text in ("none", "None", "NONE", "nONE", "tRUE", "yes", "No", "on", "y")},
    **{text: text for text in ("1_000", "1:30", "12:30:00", "0b11", "0o8", "0x_", "-0x1", "1e")},
    **{text: text for text in ("2024-01-01", "inf", "nan", "infinity", "auto", "gpt", "=", "<<")},
    **{text: text for text in ("٣", "+", ".", "1,5", "1 0", "0x", "1e5.0", "\u00bd")},
}
# One of each type: whole, fraction, truth, word, text; and those that may also be unset.
KEYS = ("batch_size", "lr", "max_minutes", "compile", "run_name")
KEYS += ("warmup_steps", "max_steps", "bias", "model", "data_path", "runs_dir", "sample_prompt")
FOLDER_NAME = Config.model_fields["run_name"].metadata[0].pattern
# Texts that a run's keys may hold, and that one YAML or the other takes for something else.
LOOKS_LIKE = [*SPELLINGS, "0123", "3.10", "1.e5", "1e3", "", " ", "#x", "- a", "a: b", "'", "!!int"]
HUNDRED = settings(max_examples=100)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.yaml"


def outcome(read):
    """The value, or the words of the error without where it was written."""
    try:
        return read()
    except UserError as error:
        return f"error: {str(error).partition(': ')[2]}"


def raises(kind, function, *arguments):
    try:
        function(*arguments)
    except kind:
        return True
    return False


def from_file(path: Path, key: str, written: str):
    lines = [line for line in NINE_KEYS.splitlines() if not line.startswith(f"{key}:")]
    path.write_text("\n".join([*lines, f"{key}: {written}"]), encoding="utf-8")
    return outcome(lambda: getattr(load_config(path), key))


def from_flag(path: Path, key: str, text: str):
    path.write_text(NINE_KEYS, encoding="utf-8")
    arguments = ["--config", str(path), f"--{key}={text}"]
    found = outcome(lambda: getattr(train.parse_arguments(arguments).config, key))
    return None if (key, found) == ("run_name", path.stem) else found  # the name of an unnamed run


@pytest.mark.parametrize("key", first_fast(KEYS, 5))
def test_a_text_means_the_same_in_a_file_and_behind_a_flag(path, key):
    for text in SPELLINGS:
        if text == "auto" and key in ("compile", *PLANNED_KEYS):
            continue
        in_file, behind_flag = from_file(path, key, text), from_flag(path, key, text)
        assert repr(in_file) == repr(behind_flag), text


@pytest.mark.parametrize("key", ["batch_size", "lr", "bias", "model", "max_steps"])
@pytest.mark.parametrize("text", [" 5", "5 ", " true", "gpt ", "0x10 ", " null"])
def test_space_around_a_value_is_no_part_of_it(path, key, text):
    assert repr(from_file(path, key, text)) == repr(from_flag(path, key, text))


@pytest.mark.parametrize(("text", "expected"), SPELLINGS.items())
def test_a_spelling_is_what_the_core_schema_says(text, expected):
    value = scalars.value(text, scalars.kind_of(text))
    assert (value, type(value)) == (expected, type(expected))


def test_not_a_number_is_a_float():
    for text in (".nan", ".NaN", ".NAN"):
        assert scalars.kind_of(text) == "float"
        assert scalars.number(text) != scalars.number(text)
    assert scalars.kind_of("-.nan") == "str"


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        *(("batch_size", "010", 10), ("batch_size", "0x10", 16), ("batch_size", "1e3", 1000)),
        *(("batch_size", "+5", 5), ("lr", "3e-4", 3e-4), ("lr", ".5", 0.5), ("lr", "0o1", 1.0)),
        *(("run_name", "0123", "0123"), ("run_name", "3.10", "3.10"), ("run_name", "yes", "yes")),
        *(("run_name", "2024-01-01", "2024-01-01"), ("run_name", "true", "true")),
        *(("data_path", "null", "null"), ("data_path", "1e3", "1e3"), ("run_name", "~", None)),
        *(("max_steps", "none", None), ("bias", "False", False), ("compile", "TRUE", True)),
    ],
)
def test_a_value_is_read_by_the_type_of_its_key(path, key, text, expected):
    assert from_file(path, key, text) == from_flag(path, key, text) == expected


@pytest.mark.parametrize(
    ("key", "text", "words"),
    [
        *(
            ("lr", "1:30", "a number"),
            ("lr", "1_000", "a number"),
            ("bias", "yes", "true or false"),
        ),
        *(("batch_size", "1_000", "a whole number"), ("batch_size", "٣", "a whole number")),
        *(("bias", "1", "true or false"), ("lr", ".nan", "a finite number")),
        *(("batch_size", "1" * 5000, "a finite number"), ("lr", "1" * 400, "a finite number")),
    ],
)
def test_what_only_yaml_1_1_or_python_reads_is_refused(path, key, text, words):
    expected = f"error: {key} must be {words}, got {text!r}"
    assert from_file(path, key, text) == from_flag(path, key, text) == expected


@pytest.mark.parametrize(
    ("key", "written", "expected"),
    [
        *(("batch_size", '"12"', 12), ("batch_size", "!!str 5", 5), ("batch_size", "!!int '7'", 7)),
        *(("run_name", "!!str 5", "5"), ("run_name", "'null'", "null"), ("run_name", '"~"', "~")),
        *(("run_name", "", None), ("max_steps", "", None), ("max_steps", "!!null ''", None)),
        *(("lr", "!!float 5", 5.0), ("bias", "!!bool 'false'", False), ("bias", '"true"', True)),
        *(("sample_prompt", "''", ""), ("sample_prompt", "' null '", " null ")),
    ],
)
def test_quotes_and_tags_say_what_a_value_is(path, key, written, expected):
    value = from_file(path, key, written)
    assert (value, type(value)) == (expected, type(expected))


@pytest.mark.parametrize(
    "written",
    [
        *("!!bool yes", "!!int 1:30", "!!int 0b1", "!!float 1_0.0", "!!null x", "!!int 1.0"),
        *("!!timestamp 2024-01-01", "!!binary aGk=", "!!set x", "!mine 1", "!!python/name:os.x ''"),
    ],
)
def test_a_tag_that_the_text_or_the_schema_does_not_know_is_refused(path, written):
    assert from_file(path, "run_name", written).startswith("error: not a plain value: ")


@HUNDRED
@given(name=st.sampled_from(LOOKS_LIKE) | st.text(st.characters(exclude_categories=["Cs"])))
@example(name="null")
@example(name="none")
def test_a_text_that_looks_like_a_value_is_written_so_that_every_yaml_reads_it_back(path, name):
    path.write_text(NINE_KEYS, encoding="utf-8")
    path_name = re.sub(r"^~|\$", "a", name)  # which stand for something in a path
    keys = {"data_path": path_name or "a", "sample_prompt": name, "runs_dir": f"{path_name}x"}
    keys["run_name"] = name if re.fullmatch(FOLDER_NAME, name) else None
    config = load_config(path).model_copy(update=keys)
    written = {key: getattr(config, key) for key in (*REQUIRED_KEYS, *keys)}
    path.write_bytes(to_yaml(written).encode("utf-8"))
    assert load_config(path) == config
    assert yaml.safe_load(path.read_bytes()) == written


@pytest.mark.parametrize("name", ["010", "1:30", "yes", "null", "~", "1e3", "0x10", "True", "3.10"])
def test_files_that_yaml_1_1_wrote_read_back_as_they_were(path, name):
    """As runs of earlier versions have them."""
    path.write_text(NINE_KEYS, encoding="utf-8")
    rate = {"lr": 1e-5, "eps": 1e-300, "batch_size": 10**20, "feedforward_dim": None}
    keys = {"data_path": name.replace("~", "a"), "sample_prompt": name, "bias": False, **rate}
    config = load_config(path).model_copy(update=keys)
    path.write_text(yaml.safe_dump(config.resolved(), sort_keys=False), encoding="utf-8")
    assert load_config(path) == config


def test_words_stay_without_quotes_where_they_need_none():
    text = to_yaml({"positions": "none", "run_name": "none", "stride": "block_size", "lr": 1e-5})
    assert text == "positions: none\nrun_name: 'none'\nstride: block_size\nlr: 1.0e-05\n"


@pytest.mark.parametrize(
    "kind", [Config, GenerateOptions, EvaluateOptions, ExplainOptions, PlotOptions]
)
def test_no_option_is_left_to_what_pydantic_alone_reads(kind):
    for name, field in kind.model_fields.items():
        read = TypeAdapter(Annotated[field.annotation, field]).validate_python
        if str in leaves(field.annotation) or field.default == ():
            continue
        for text in ("1_000", "yes", "on"):
            assert raises(ValidationError, read, text), f"{name} takes {text}"


@pytest.mark.parametrize(
    ("line", "temperature"), [("010", 10), ("1e-1", 0.1), ("0x2", 2), (".5", 0.5)]
)
def test_a_setting_of_the_prompt_loop_is_read_as_a_flag_is(make_gpt, line, temperature):
    writer = TextGenerator(make_gpt(), CharacterTokenizer("\n abcdefghijk"))
    loop = PromptLoop(writer, GenerateOptions(), seed=0, write=lambda text: None)
    loop.command("temperature", line)
    assert loop.options.temperature == temperature
    loop.command("top_k", "0x3")
    loop.command("top_k", "~")
    assert loop.options.top_k is None
    with pytest.raises(UserError, match="max_new_tokens must be a whole number, got '1_000'"):
        loop.command("max_new_tokens", "1_000")
