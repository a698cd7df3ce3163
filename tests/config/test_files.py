"""YAML files and flags -> Config: what is read, which goes before which, and every mistake."""

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from transformer.config.data_keys import REQUIRED_KEYS
from transformer.config.files import load_config, to_yaml
from transformer.config.keys import Config
from transformer.system.errors import UserError

LINES = [
    *("batch_size: 5", "epochs: 2", "lr: 1e-3", "data_path: corpus.txt", "block_size: 7"),
    *("num_heads: 3", "embedding_dim: 33", "num_blocks: 2", "num_workers: 0"),
]
NINE_KEYS = "\n".join(LINES) + "\n"
BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n"
# Pieces from which a fuzzer makes files that look like YAML more often than random text does.
PIECES = st.sampled_from(
    [
        *(": ", "\n", "- ", "? ", "[", "]", "{", "}", ",", "&a ", "*a", "#", "|\n", ">\n", "---\n"),
        *("!!int ", "!!bool ", "!!float ", "!!timestamp ", "!!binary ", "!!map ", "!x ", "<<: "),
        *("'", '"', '"\\U00110000"', '"\\ud800"', "\\", "%YAML 1.1\n", "\t", "  ", "~", ".", "="),
        *("1:1:1", "0x_", "0b", "1e400", ".inf", ".nan", "2024-13-45", "\x00", "\x85", "\ufeff"),
        *(*LINES, "lr", "seed: ", "run_name: ", "stride: block_size", "é", "😀", "_", "-1", "true"),
    ]
)
PRINTABLE = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
HUNDRED = settings(max_examples=100)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text(NINE_KEYS, encoding="utf-8")
    return path


def add(path: Path, lines: str) -> Path:
    path.write_text(NINE_KEYS + lines, encoding="utf-8")
    return path


@pytest.mark.parametrize("key", REQUIRED_KEYS)
def test_missing_one_of_the_nine_keys_is_an_error_that_names_it(path, key):
    path.write_text("\n".join(line for line in LINES if not line.startswith(key)), encoding="utf-8")
    with pytest.raises(UserError, match=rf"run\.yaml: missing key {key}: every config holds"):
        load_config(path)


@pytest.mark.parametrize("key", REQUIRED_KEYS)
def test_flag_may_stand_in_for_a_missing_key(path, key):
    lines = dict(line.split(": ") for line in LINES)
    value = lines.pop(key)
    path.write_text("\n".join(f"{k}: {v}" for k, v in lines.items()), encoding="utf-8")
    config = load_config(path, {key: value})
    assert config == load_config(add(path, ""))


def test_all_missing_keys_are_named_at_once(path):
    path.write_text("lr: 1\n", encoding="utf-8")
    with pytest.raises(UserError, match="missing key batch_size, epochs, data_path"):
        load_config(path)


def test_flag_goes_before_the_file_and_the_file_before_the_default(path):
    add(path, "dropout: 0.2\nseed: 5\n")
    config = load_config(path, {"dropout": "0.3"})
    assert (config.dropout, config.seed, config.beta1) == (0.3, 5, 0.9)


@pytest.mark.parametrize(
    ("written", "meant"),
    [("dropuot", "dropout"), ("lerning_rate", None), ("blocksize", "block_size"), ("n_embd", None)],
)
def test_unknown_key_is_an_error_with_file_line_and_the_nearest_name(path, written, meant):
    hint = rf"did you mean {meant}\?" if meant else ""
    with pytest.raises(UserError, match=rf"run\.yaml:10: unknown key '{written}': {hint}"):
        load_config(add(path, f"{written}: 0.1\n"))


def test_unknown_key_that_resembles_none_points_to_help(path):
    with pytest.raises(UserError, match=r"unknown key 'zzz': train\.py --help lists them all"):
        load_config(add(path, "zzz: 1\n"))


def test_wrong_value_is_an_error_with_file_and_line(path):
    path.write_text(NINE_KEYS.replace("num_heads: 3", "num_heads: three"), encoding="utf-8")
    with pytest.raises(UserError, match=r"run\.yaml:6: num_heads must be a whole number, got 'th"):
        load_config(path)


def test_every_mistake_is_told_at_once(path):
    with pytest.raises(UserError, match=r":10: unknown key .*--lr: lr must .*:11: dropout must"):
        load_config(add(path, "zzz: 1\ndropout: 2\n"), {"lr": "fast"})


@pytest.mark.parametrize(
    ("lines", "line"),
    [
        *(("a: 'b\n", 11), ("a: b: c\n", 10), ("a: *nobody\n", 10)),
        *(("\tb: 1\n", 10), ("---\nb: 1\n", 10)),
    ],
)
def test_invalid_yaml_is_an_error_with_file_and_line(path, lines, line):
    with pytest.raises(UserError, match=rf"run\.yaml:{line}: not valid YAML: "):
        load_config(add(path, lines))


@pytest.mark.parametrize(
    "value", ["[1]", "{a: 1}", "\n  - 1", "\n  a: 1", "[[" * 20 + "]]" * 20, "&a [*a]"]
)
def test_nested_values_and_lists_are_refused(path, value):
    with pytest.raises(UserError, match=r"run\.yaml:10: a config is flat"):
        load_config(add(path, f"dropout: {value}\n"))


def test_key_that_is_a_list_is_refused(path):
    with pytest.raises(UserError, match=r"run\.yaml:10: a config is flat"):
        load_config(add(path, "? [dropout]\n: 0.1\n"))


def test_bomb_of_aliases_is_refused_before_it_grows(path):
    with pytest.raises(UserError, match=r"run\.yaml:10: a config is flat"):
        load_config(add(path, BOMB))


def test_alias_of_a_plain_value_is_refused(path):
    with pytest.raises(UserError, match=r"run\.yaml:11: a config has no aliases; .* of beta2"):
        load_config(add(path, "beta1: &b 0.9\nbeta2: *b\n"))


def test_deep_nesting_is_refused_and_does_not_overflow_the_stack(path):
    with pytest.raises(UserError, match="nested too deeply"):
        load_config(add(path, "a: " + "[" * 1000))


def test_duplicate_key_is_refused_with_both_lines(path):
    with pytest.raises(UserError, match=r"run\.yaml:10: lr is set here and at .*run\.yaml:3; keep"):
        load_config(add(path, "lr: 1e-4\n"))


@pytest.mark.parametrize("text", ["", "# nothing\n"])
def test_an_empty_file_is_refused(path, text):
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="the config is empty"):
        load_config(path)


@pytest.mark.parametrize("text", ["- lr\n", "lr\n", "[]\n"])
def test_file_that_holds_no_keys_is_refused(path, text):
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="a config is `key: value` lines, and this file is not"):
        load_config(path)


@pytest.mark.parametrize(
    "value",
    [
        *("!!python/name:os.system ''", "!!python/object/apply:os.getcwd []", "!mine 1"),
        *("!!bool perhaps", "!!int ''", "!!timestamp soon", "!!float x"),
    ],
)
def test_tag_that_is_no_plain_value_is_refused_with_its_line(path, value):
    with pytest.raises(UserError, match=r"run\.yaml:10: (not a plain value|a config is flat)"):
        load_config(add(path, f"run_name: {value}\n"))


def test_escape_beyond_unicode_is_invalid_yaml(path):
    with pytest.raises(UserError, match="not valid YAML"):
        load_config(add(path, 'run_name: "\\U00110000"\n'))


def test_file_with_a_byte_order_mark_and_windows_line_ends_is_read(path):
    expected = load_config(path)
    path.write_bytes(b"\xef\xbb\xbf" + NINE_KEYS.replace("\n", "\r\n").encode())
    assert load_config(path) == expected


def test_file_that_is_not_utf_8_is_an_error_with_the_byte(path):
    path.write_bytes(b"lr: \xff")
    with pytest.raises(UserError, match=r"run\.yaml: not UTF-8 at byte 4 \(0xff\)"):
        load_config(path)


def test_config_file_that_is_missing_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"no\.yaml: no such config file"):
        load_config(tmp_path / "no.yaml")


@pytest.mark.parametrize(
    "flags",
    [
        {"feedforward_dim": 17},
        {"model": "bigram", "max_minutes": 0.5},
        {"activation": "swiglu", "feedforward_dim": 8, "stride": "block_size", "eps": 1e-12},
        {"feedforward_dim": 8, "compile": False, "run_name": "1e3", "sample_prompt": "true"},
    ],
)
def test_resolved_config_reads_back_from_yaml_as_an_equal_one(path, flags):
    config = load_config(path, flags)
    path.write_text(to_yaml(config.resolved()), encoding="utf-8")
    assert load_config(path) == config


def test_resolving_twice_changes_nothing(path):
    resolved = load_config(path).resolved()
    assert Config(**resolved).resolved() == resolved


@HUNDRED
@given(prompt=PRINTABLE, rate=st.floats(1e-300, 1e300), name=st.sampled_from(["é 1", "=", "0x1f"]))
@example(prompt="\r\n\x85\u2028\ufeff 😀: #", rate=3e-4, name="~")
@example(prompt="a\x85b", rate=1.0, name="=")
@example(prompt="a\u2029b", rate=1.0, name="=")
def test_any_text_and_number_read_back_from_yaml_as_they_were(path, prompt, rate, name):
    add(path, "")
    keys = {"sample_prompt": prompt, "lr": rate, "run_name": name, "feedforward_dim": 5}
    config = load_config(path, keys)
    written = {key: getattr(config, key) for key in (*REQUIRED_KEYS, *keys)}
    path.write_bytes(to_yaml(written).encode("utf-8"))
    assert load_config(path) == config


@HUNDRED
@given(data=st.binary(max_size=60) | PRINTABLE.map(str.encode))
def test_arbitrary_bytes_are_refused_with_a_user_error_alone(path, data):
    path.write_bytes(data)
    with pytest.raises(UserError):
        load_config(path)


@HUNDRED
@given(pieces=st.lists(PIECES, max_size=12))
@example(pieces=["lr", ": ", "!!bool ", "x"])
@example(pieces=['"\\ud800"', ": 1"])
@example(pieces=["run_name: ", '"\\ud800"'])
def test_near_yaml_is_read_or_refused_with_a_user_error_alone(path, pieces):
    path.write_bytes((NINE_KEYS + "".join(pieces)).encode("utf-8"))
    try:
        outcome = load_config(path)
    except UserError as error:
        outcome = str(error)
    assert isinstance(outcome, Config) or outcome.startswith(str(path))


def test_a_typo_of_a_required_key_is_named_with_its_line(path):
    path.write_text("lr: 1\nbatchsize: 16\n", encoding="utf-8")
    with pytest.raises(UserError, match=r":2: unknown key 'batchsize': did you mean batch_size"):
        load_config(path)


def test_large_whole_numbers_keep_every_digit(path):
    path.write_text(NINE_KEYS, encoding="utf-8")
    assert load_config(path, {"epochs": "9007199254740993"}).epochs == 9007199254740993


ROMEO = "data_path: data/input.txt\nsample_prompt: 'ROMEO:'\n"


@pytest.mark.parametrize(
    ("flags", "prompt"),
    [
        ({}, "ROMEO:"),
        ({"lr": "1"}, "ROMEO:"),
        ({"data_path": "./data/input.txt"}, "ROMEO:"),
        ({"data_path": "my_book.txt"}, ""),
        ({"data_path": "my_book.txt", "sample_prompt": "Call"}, "Call"),
    ],
)
def test_a_files_sample_prompt_is_for_the_files_own_text(tmp_path, flags, prompt):
    keys = "batch_size: 3\nepochs: 1\nlr: 1\nblock_size: 5\nnum_heads: 1\nembedding_dim: 2\n"
    path = tmp_path / "play.yaml"
    path.write_text(f"{keys}num_blocks: 1\nnum_workers: 0\n{ROMEO}", encoding="utf-8")
    assert load_config(path, flags).sample_prompt == prompt
    moved = load_config(path, {"data_path": "moved.txt"}, same_text=True)
    assert moved.sample_prompt == "ROMEO:"
