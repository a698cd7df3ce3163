"""Training on many documents through the command line, and what is cleaned in them."""

import json

import pytest

import evaluate
import train
from tests.command_line.conftest import TEXT
from transformer.system.errors import UserError

OTHERS = (("replace_rare", "5"), ("text_field", "body"))
CLEANED = ("--drop_lines_seen", 24, "--drop_duplicates", "--replace_rare", 3)


@pytest.fixture
def books(tmp_path):
    """24 texts with a header, a copy of the first, and one \u00e9."""
    folder = tmp_path / "books"
    folder.mkdir()
    lines = TEXT.splitlines()
    for number in range(24):
        text = "\n".join(["- Hamlet -", *("x" * number + line for line in lines)])
        (folder / f"{number:02}.txt").write_text(text.replace("e", "\u00e9", number == 5), "utf-8")
    (folder / "copy.txt").write_bytes((folder / "00.txt").read_bytes())
    return folder


def facts_of(tmp_path, number=0):
    summary = tmp_path / f"runs/tiny/version_{number}/summary.json"
    return json.loads(summary.read_text(encoding="utf-8"))


def test_the_cleaned_texts_are_those_of_the_resume_and_of_the_evaluation(call, books, tmp_path):
    tiny = ("--config", "tiny.yaml", "--data_path", "books", "--val_every_steps", 3)
    out = call(train, *tiny, *CLEANED, "--max_steps", 3)
    assert "1 duplicate left out" in out
    assert "1 recurring line left out" in out
    assert "1 rare character replaced" in out
    report = json.loads(call(evaluate, "--json"))
    assert report["scores"]["model"]["loss"] == pytest.approx(
        facts_of(tmp_path)["val_loss"], rel=1e-6
    )
    assert call(train, "--resume", "runs/tiny/version_0", "--max_steps", 6)
    for flag, value in (("drop_duplicates", "false"), ("drop_lines_seen", "none"), *OTHERS):
        with pytest.raises(UserError, match=f"was trained with {flag}="):
            call(train, "--resume", "runs/tiny/version_0", f"--{flag}", value)


def test_one_cleaned_text_is_known_as_the_models_own(call, tmp_path):
    text = TEXT.replace("\n", "\n- Hamlet -\n") + "\u00e9"
    (tmp_path / "one.txt").write_text(text, encoding="utf-8")
    tiny = ("--config", "tiny.yaml", "--data_path", "one.txt", "--max_steps", 2)
    call(train, *tiny, "--replace_rare", "--drop_lines_seen", 3)
    own = json.loads(call(evaluate, "--json"))
    named = json.loads(call(evaluate, "--data_path", "one.txt", "--json"))
    assert named == own
    assert own["split"] == "validation"


def test_other_texts_are_evaluated_as_they_are(call, books, tmp_path):
    tiny = ("--config", "tiny.yaml", "--data_path", "books", "--max_steps", 2)
    call(train, *tiny, "--drop_lines_seen", 24)
    (tmp_path / "others").mkdir()
    for name in "ab":
        (tmp_path / f"others/{name}.txt").write_text("To be\n" * 30, encoding="utf-8")
    report = json.loads(call(evaluate, "--data_path", "others", "--json"))
    assert report["characters"] > 300
