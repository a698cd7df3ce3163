"""prepare.py as it is used: what it prints, what it makes, and what it refuses in one line."""

import json
import shlex

import pytest

import prepare
import train
from transformer.config.files import load_config
from transformer.data.built_in.shakespeare import tiny_shakespeare
from transformer.data.text.settings import TextSettings
from transformer.data.token_files import preparing
from transformer.data.tokenizer_choice import TokenizerChoice
from transformer.inspection.corpus.options import CORPUS_KEYS
from transformer.run.planning import suggestions
from transformer.system.errors import UserError
from transformer.tasks.registry import task_of


@pytest.fixture
def books(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "books").mkdir()
    text = tiny_shakespeare()
    for number in range(6):
        part = text[number * 20_000 : (number + 1) * 20_000]
        (tmp_path / "books" / f"{number}.txt").write_text(part, encoding="utf-8")
    return tmp_path


def state_of(folder):
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}


def facts_of(capsys, *argv):
    assert prepare.main([*argv, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


AHEAD = ["--tokenizer", "bpe", "--vocab_size", "300", "--cache_dir", "cache"]
AHEAD += ["--token_files_from_mb", "0.01"]


def test_token_files_made_ahead_are_those_that_a_run_opens(books, capsys, monkeypatch):
    before = state_of(books / "books")
    made = facts_of(capsys, "books", "--plan", "false", *AHEAD)["token_files"]
    assert state_of(books / "books") == before
    flags = dict(zip((name[2:] for name in AHEAD[::2]), AHEAD[1::2], strict=True))
    given = {"data_path": "books", "block_size": "16", "embedding_dim": "8", "num_heads": "2"}
    config = load_config(train.DEFAULT_CONFIG, given | flags)
    # Nothing is encoded again: the files are found.
    monkeypatch.setattr(preparing, "encode_batch", lambda *_: pytest.fail("encoded again"))
    assert str(task_of(config.model).read(config).tokens.filename) == made


def test_a_large_corpus_is_not_tokenized_before_a_tokenizer_is_given(books, capsys):
    flags = ["--cache_dir", "cache", "--token_files_from_mb", "0.01"]
    assert prepare.main(["books", *flags]) == 0
    assert "--tokenizer bpe" in capsys.readouterr().out
    assert not (books / "cache" / "tokens").exists()


@pytest.mark.slow
def test_it_ends_with_what_ten_and_sixty_minutes_would_bring(books, capsys, monkeypatch):
    monkeypatch.setattr("transformer.run.planning.pilot.PILOT_STEPS", 2)  # of twice so many
    monkeypatch.setattr("transformer.run.planning.pilot.LEAST_PILOT_STEPS", 2)
    found = facts_of(capsys, "books", "--val_fraction", "0.2")["suggestions"]
    assert [one["minutes"] for one in found] == [*suggestions.MINUTES]
    for one in found:
        assert 0 < one["bits_per_byte"] < 8
        assert one["embedding_dim"] % one["num_heads"] == 0
        python, script, *flags = shlex.split(one["command"])
        assert (python, script) == ("python", "train.py")
        draft = train.parse_arguments(flags).config
        assert isinstance(draft, train.Draft)
        assert draft.base().max_minutes == one["minutes"]
        assert draft.base().val_fraction == 0.2


def test_what_would_end_a_run_is_told_where_the_plan_would_be(books, capsys):
    (books / "books" / "bad.txt").write_bytes("naïve\n".encode("latin-1") + "é\n".encode())
    assert prepare.main(["books"]) == 0
    told = capsys.readouterr().out
    assert "books/bad.txt, line 1: byte 0xef" in told
    assert "training would end with an error: books/bad.txt: not UTF-8" in told
    assert "--skip_bad_files" in told.split("would end")[1]


def test_its_keys_are_those_of_a_config_with_the_same_defaults():
    options = prepare.PrepareOptions()
    fields = train.Config.model_fields
    assert {key: getattr(options, key) for key in CORPUS_KEYS} == {
        key: fields[key].default for key in CORPUS_KEYS
    }
    known = vars(TextSettings(block_size=1)) | vars(TokenizerChoice())
    assert set(CORPUS_KEYS) <= set(known)


@pytest.mark.parametrize(
    ("flags", "error"),
    [
        (["nowhere.txt"], "nowhere.txt: no such"),
        (["empty"], "the folder is empty"),
        (["books/*.md"], "no file matches"),
        (["books", "--encoding", "klingon"], "must be the name of an encoding"),
        (["books", "--val_fraction", "2"], "val_fraction must be less than 1.0, got '2'"),
        (["books", "--data_weights", "1", "2"], "data_weights has 2 numbers and data_path 1"),
        (["books", "--tokeniser", "bpe"], "did you mean --tokenizer"),
    ],
)
def test_bad_input_is_one_line(books, flags, error):
    (books / "empty").mkdir()
    with pytest.raises(UserError) as caught:
        prepare.main([*flags, "--plan", "false"])
    assert error in str(caught.value)
    assert "\n" not in str(caught.value)
