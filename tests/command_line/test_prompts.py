"""Files of prompts: a line that a model cannot read is named, or skipped and counted."""

import json

import pytest

import generate
from transformer.data.tokenizers.characters import CharacterTokenizer
from transformer.data.tokenizers.pairs import PairTokenizer, UnitTokenizer
from transformer.models import build_model
from transformer.storage.model_file import save_model
from transformer.system.errors import UserError

SIZES = {"block_size": 7, "embedding_dim": 6, "num_heads": 3, "num_blocks": 1}


def saved(path, kind, tokenizer):
    import torch

    torch.manual_seed(0)
    model = build_model(kind, **tokenizer.sizes, **SIZES)
    save_model(path, model, {"tokenizer": tokenizer.state, "architecture": model.architecture})
    return str(path)


@pytest.fixture
def pairs_path(tmp_path):
    """Of words, so that a line of spaces has none."""
    sides = (UnitTokenizer("words", ["a", "b", "c"]), UnitTokenizer("words", ["K", "AE1"]))
    return saved(tmp_path / "pairs.safetensors", "encoder_decoder", PairTokenizer(*sides))


@pytest.fixture
def text_path(tmp_path):
    return saved(tmp_path / "text.safetensors", "gpt", CharacterTokenizer("\n abc"))


@pytest.fixture
def words(tmp_path):
    def write(text):
        (tmp_path / "words.txt").write_text(text, encoding="utf-8")
        return ["--prompt_file", str(tmp_path / "words.txt"), "--split_lines"]

    return write


@pytest.mark.parametrize(
    ("text", "number", "why"),
    [
        *(("a b\n\nc\n", 2, "the source is empty"), ("a\nb\n  \nc\n", 3, "the source is empty")),
        *(
            ("a\nx\n", 2, "never saw 'x'"),
            ("a a a a a a a a\n", 1, "8 words, but the model reads at most 7"),
        ),
        *(("a\r\n\r\nb\r\n", 2, "the source is empty"), ("\n", 1, "the source is empty")),
    ],
)
def test_a_bad_line_is_named_with_the_way_out_before_anything_is_shown(
    pairs_path, words, capsys, text, number, why
):
    match = rf"words\.txt:{number}: .*{why}.*, or give --skip_bad_lines to skip such lines"
    with pytest.raises(UserError, match=match):
        generate.main([pairs_path, *words(text)])
    assert capsys.readouterr().out == ""


def test_bad_lines_are_left_out_and_counted_if_asked_for(pairs_path, words, capsys):
    lines = ["a b", "", "c", "   ", "a x", "a a a a a a a a", "b"]
    assert generate.main([pairs_path, "--skip_bad_lines", *words("\n".join(lines) + "\n")]) == 0
    out, err = capsys.readouterr()
    assert [line.split("\t")[0] for line in out.splitlines()] == ["a b", "c", "b"]
    assert "words.txt: 4 bad lines (2, 4, 5, 6) skipped" in err


def test_what_is_empty_once_the_unknown_is_dropped_is_a_bad_line_too(pairs_path, words, capsys):
    flags = ["--skip_bad_lines", "--skip_unknown", *words("a x\nx\nb\n")]
    assert generate.main([pairs_path, *flags]) == 0
    out, err = capsys.readouterr()
    assert [line.split("\t")[0] for line in out.splitlines()] == ["a", "b"]
    assert "1 bad line (2) skipped" in err


def test_a_text_model_takes_a_blank_line_for_a_prompt_unless_told(text_path, words, capsys):
    flags = [text_path, "--json", "--max_new_tokens", "2", *words("ab\n\nc\n")]
    assert generate.main(flags) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert generate.main([*flags, "--skip_bad_lines"]) == 0
    out, err = capsys.readouterr()
    assert [json.loads(line)["prompt"] for line in out.splitlines()] == ["ab", "c"]
    assert "1 bad line (2) skipped" in err


def test_an_unknown_character_of_a_text_model_is_named_with_its_line(text_path, words):
    with pytest.raises(UserError, match=r"words\.txt:2: the model never saw 'x'"):
        generate.main([text_path, *words("ab\nx\n")])


@pytest.mark.parametrize("model", ["pairs_path", "text_path"])
def test_no_good_line_at_all_is_an_error(request, words, model):
    path = request.getfixturevalue(model)
    with pytest.raises(UserError, match=r"words\.txt: the model can read no line"):
        generate.main([path, "--skip_bad_lines", *words("\n\n")])
