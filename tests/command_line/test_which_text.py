"""Is it the text that the model was trained on? Found elsewhere, changed, or another altogether."""

import json
import shutil
from pathlib import Path

import pytest

import evaluate
import plot
from transformer.system.errors import UserError


@pytest.fixture
def home(finished, tmp_path, monkeypatch):
    """A copy of where a run was trained, to be changed; this process stands in it."""
    shutil.copytree(finished.home, tmp_path / "home")
    monkeypatch.chdir(tmp_path / "home")
    return tmp_path / "home"


def evaluated(capsys, *arguments):
    assert evaluate.main([*map(str, arguments), "--device", "cpu"]) == 0
    return capsys.readouterr().out


def report(capsys, *arguments):
    return json.loads(evaluated(capsys, "--json", *arguments))


CHANGES = {
    "grown": lambda text: text + "more\n",
    "with a preface": lambda text: "Hamlet\n" + text,
    "edited": lambda text: text.replace("suffer", "sing"),
    "truncated": lambda text: text[:-99],
    "another of the same name": lambda text: "The quick brown fox.\n" * 60,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_changed_corpus_is_not_taken_for_the_models_own(home, change):
    text = (home / "hamlet.txt").read_text(encoding="utf-8")
    changed = change(text)
    (home / "hamlet.txt").write_text(changed, encoding="utf-8", newline="\n")
    with pytest.raises(UserError) as caught:
        evaluate.main([])
    message = str(caught.value)
    assert message.startswith("hamlet.txt: is not the training data of runs/tiny/version_0/model.")
    for words in (
        *(f"{len(text):,} characters, sha256 ", f"{len(changed):,} characters, sha256 "),
        *("restore it", "--data_path hamlet.txt to evaluate on all of this file"),
    ):
        assert words in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "encode", [lambda text: b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()]
)
def test_a_corpus_with_other_line_ends_and_a_mark_is_still_the_models_own(home, capsys, encode):
    expected = report(capsys)
    path = home / "hamlet.txt"
    path.write_bytes(encode(path.read_text(encoding="utf-8")))
    assert report(capsys) == expected
    assert expected["comparison"] is None


@pytest.mark.parametrize("name", ["data/input.txt", "./data/input.txt", "hamlet.txt"])
def test_a_corpus_that_is_not_here_is_an_error_and_nothing_is_built(
    finished, tmp_path, monkeypatch, name
):
    from transformer.storage.model_file import load_model, save_model

    saved = load_model(finished.folder / "model.safetensors")
    parts = {"architecture": saved.architecture, "tokenizer": saved.tokenizer.state}
    parts |= {"config": saved.config | {"data_path": name}, "corpus": saved.corpus}
    save_model(tmp_path / "model.safetensors", saved.model, parts)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"is missing: start from the folder .* or .*--data_path"):
        evaluate.main(["model.safetensors"])
    with pytest.raises(UserError, match=f"^{name}: no such text file"):
        evaluate.main(["model.safetensors", "--data_path", name])
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


def test_a_moved_run_is_evaluated_on_its_corpus_wherever_that_is(
    finished, tmp_path, monkeypatch, capsys
):
    shutil.copytree(finished.folder, tmp_path / "moved")
    shutil.copy(finished.home / "hamlet.txt", tmp_path / "renamed.txt")
    monkeypatch.chdir(tmp_path)
    found = report(capsys, "moved", "--data_path", "renamed.txt")
    assert found["split"] == "validation"
    assert found["scores"]["model"]["loss"] == pytest.approx(finished.summary["val_loss"], 1e-6)


def test_an_own_text_at_a_built_in_name_is_not_mistaken_for_another(
    finished, tmp_path, monkeypatch, capsys
):
    """Two folders have a data/input.txt of their own: only the one trained on is evaluated."""
    from transformer.storage.model_file import load_model, save_model

    saved = load_model(finished.folder / "model.safetensors")
    parts = {"architecture": saved.architecture, "tokenizer": saved.tokenizer.state}
    parts |= {"config": saved.config | {"data_path": "data/input.txt"}, "corpus": saved.corpus}
    save_model(tmp_path / "model.safetensors", saved.model, parts)
    text = (finished.home / "hamlet.txt").read_text(encoding="utf-8")
    for folder, content in (("mine", text), ("other", "The quick brown fox.\n" * 60)):
        (tmp_path / folder / "data").mkdir(parents=True)
        (tmp_path / folder / "data" / "input.txt").write_text(content, "utf-8", newline="\n")
    monkeypatch.chdir(tmp_path / "mine")
    assert report(capsys, "../model.safetensors")["split"] == "validation"
    monkeypatch.chdir(tmp_path / "other")
    with pytest.raises(UserError, match=r"data/input\.txt: is not the training data of"):
        evaluate.main(["../model.safetensors"])


def test_with_data_path_the_part_that_was_trained_on_is_said(home, capsys):
    text = (home / "hamlet.txt").read_text(encoding="utf-8")
    num_train = int(0.9 * len(text))
    with (home / "hamlet.txt").open("a", encoding="utf-8") as file:
        file.write("To sleep\n")
    said = (
        f"hamlet.txt: not the text that the model was trained on, by its sha256: its first "
        f"{len(text):,} characters are the whole of that text, and 9 more follow; {num_train:,} of "
        "these trained the model\n"
    )
    assert said in evaluated(capsys, "--data_path", "hamlet.txt")
    found = report(capsys, "--data_path", "hamlet.txt")
    assert found["split"] == "whole file"
    assert found["comparison"] in said


def test_a_chapter_of_the_training_text_is_recognized_while_that_is_here(home, capsys):
    text = (home / "hamlet.txt").read_text(encoding="utf-8")
    (home / "chapter.txt").write_text(text[100:500], "utf-8", newline="\n")
    found = report(capsys, "--data_path", "chapter.txt")["comparison"]
    assert "it is characters 101 to 500 of that text; 400 of these trained the model" in found
    (home / "hamlet.txt").unlink()
    assert "cannot tell" in report(capsys, "--data_path", "chapter.txt")["comparison"]


def test_a_damaged_corpus_does_not_keep_another_text_from_being_evaluated(home, capsys):
    text = (home / "hamlet.txt").read_text(encoding="utf-8")
    (home / "other.txt").write_text(text[100:500], "utf-8", newline="\n")
    (home / "hamlet.txt").write_bytes(b"\xff\xff")
    assert list(report(capsys, "--data_path", "other.txt")["scores"]) == ["model"]
    with pytest.raises(UserError, match=r"hamlet\.txt: not UTF-8 at byte 0"):
        evaluate.main([])


def test_a_resume_on_a_changed_corpus_says_what_changed(home):
    import train
    from transformer.config.files import load_config

    run = home / "runs" / "tiny" / "version_0"
    with (home / "hamlet.txt").open("a", encoding="utf-8") as file:
        file.write("To sleep\n")
    with pytest.raises(
        UserError, match=r"last\.ckpt: hamlet\.txt is not the data .* sha256 .* and 9 more follow; "
    ):
        train.train(load_config(run / "config.yaml"), run / "checkpoints" / "last.ckpt")


@pytest.mark.parametrize("name", ["data/input.txt", "./data/input.txt", "data/reverse.tsv"])
def test_a_resume_builds_no_corpus(home, name):
    import train
    from transformer.config.files import load_config

    run = home / "runs" / "tiny" / "version_0"
    config = load_config(run / "config.yaml", {"data_path": name, "max_steps": 99})
    with pytest.raises(UserError, match="only a new training run builds it"):
        train.train(config, run / "checkpoints" / "last.ckpt")
    assert not Path("data").exists()


def test_plot_draws_no_floor_of_a_text_that_changed_or_is_gone(home, capsys):
    with (home / "hamlet.txt").open("a", encoding="utf-8") as file:
        file.write("To sleep\n")
    assert plot.find_floors([home / "runs" / "tiny" / "version_0"]) == {}
    (home / "hamlet.txt").unlink()
    assert plot.find_floors([home / "runs" / "tiny" / "version_0"]) == {}
    said = capsys.readouterr().err
    assert "not the text that the run was trained on" in said
    assert "hamlet.txt: is missing" in said
