"""Errors say what to give in Python's words; the scripts say the flags of the same name."""

import ast
import inspect
import re
from pathlib import Path

import pytest

import evaluate
import explain
import generate
import plot
import train
from transformer import CharacterDataModule, load, load_config, load_translator
from transformer.data.pairs.reading import read_pairs
from transformer.data.pairs.settings import PairSettings
from transformer.data.tokenizers.characters import CharacterTokenizer
from transformer.data.tokenizers.pairs import PairTokenizer, UnitTokenizer
from transformer.generation.text import TextGenerator
from transformer.generation.translation import Translator
from transformer.models import build_model
from transformer.storage.model_file import save_model
from transformer.system.errors import UserError, in_flags

ROOT = Path(__file__).parents[2]
# These speak to a person at a terminal alone, as all of sweep/ does.
OF_THE_COMMAND_LINE = {
    *("config/flags.py", "config/flag_parser.py", "evaluation/own_data.py"),
    *("run/conflicts.py", "storage/run_folder.py", "system/terminal.py"),
    *("generation/options.py", "generation/prompts.py", "generation/facts.py"),
}


def saved(path, kind, tokenizer):
    sizes = {"block_size": 7, "embedding_dim": 6, "num_heads": 3, "num_blocks": 1}
    model = build_model(kind, **tokenizer.sizes, **sizes)
    save_model(path, model, {"tokenizer": tokenizer.state, "architecture": model.architecture})
    return path


@pytest.fixture
def text_path(tmp_path):
    return saved(tmp_path / "text.safetensors", "gpt", CharacterTokenizer("\n abc"))


@pytest.fixture
def pairs_path(tmp_path):
    sides = (UnitTokenizer("characters", ["a", "b"]), UnitTokenizer("words", ["K", "AE1"]))
    return saved(tmp_path / "pairs.safetensors", "encoder_decoder", PairTokenizer(*sides))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("give `skip_unknown=True` to drop them", "give --skip_unknown to drop them"),
        ("give `devices=2`, or a smaller `lr`", "give --devices 2, or a smaller --lr"),
        ("write `key: value` lines", "write `key: value` lines"),
        ("got num_blocks=1, not 2", "got num_blocks=1, not 2"),
    ],
)
def test_arguments_in_backticks_become_flags(text, shown):
    assert in_flags(text) == shown


def test_an_unknown_character_names_the_argument_in_python_and_the_flag_in_a_shell(text_path):
    generator = load(text_path, "cpu")
    with pytest.raises(UserError, match=r"or give `skip_unknown=True` to drop them$"):
        generator.generate("日本")
    assert generator.generate("a日本b", skip_unknown=True, max_new_tokens=1)[0].startswith("ab")
    for script in (generate, explain):
        with pytest.raises(UserError, match=r"or give --skip_unknown to drop them"):
            script.main([str(text_path), "--prompt", "日本"])


def test_an_unknown_unit_of_a_source_does_too(pairs_path):
    translator = load_translator(pairs_path, "cpu")
    with pytest.raises(UserError, match=r"'日本': .* give `skip_unknown=True` to drop them$"):
        translator.translate(["日本"])
    assert translator.translate(["a日b"], skip_unknown=True) == translator.translate(["ab"])
    with pytest.raises(UserError, match=r"or give --skip_unknown to drop them"):
        generate.main([str(pairs_path), "--prompt", "日本"])


@pytest.mark.parametrize("function", [TextGenerator.generate, Translator.translate])
def test_the_argument_that_is_advised_is_there(function):
    assert "skip_unknown" in inspect.signature(function).parameters


def test_a_corpus_and_a_config_speak_python_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"`data_path=data/input\.txt`"):
        CharacterDataModule("here/input.txt", block_size=7, batch_size=2)
    (tmp_path / "bad.tsv").write_text("a\n", encoding="utf-8")
    with pytest.raises(UserError, match="give `skip_bad_lines=True` to skip"):
        read_pairs("bad.tsv", PairSettings(block_size=7))
    (tmp_path / "short.yaml").write_text("lr: 1\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"or give `batch_size=VALUE`"):
        load_config("short.yaml")
    with pytest.raises(UserError, match=r"or give --batch_size VALUE"):
        train.main(["--config", "short.yaml"])


@pytest.mark.parametrize("script", [train, generate, evaluate, explain, plot])
def test_every_script_turns_arguments_into_flags(script, monkeypatch):
    def fail(*_):
        raise UserError("give `lr=1`")

    monkeypatch.setattr("transformer.config.flag_parser.FlagParser.parse", fail)
    with pytest.raises(UserError, match=r"^give --lr 1$"):
        script.main([])


def raised_texts(path):
    """The pieces of text in what a file raises as a UserError."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        call = node.exc if isinstance(node, ast.Raise) else None
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "UserError":
            for part in ast.walk(call):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield part.value


@pytest.mark.parametrize("path", sorted((ROOT / "transformer").rglob("*.py")), ids=str)
def test_no_error_of_the_package_names_a_flag(path):
    name = path.relative_to(ROOT / "transformer").as_posix()
    if name in OF_THE_COMMAND_LINE or name.startswith("sweep/"):
        pytest.skip("speaks to a person at a terminal")
    assert [text for text in raised_texts(path) if re.search(r"--(?!rdzv_id)[a-z]", text)] == []
