"""Pairs with files of one's own for validation and the test, as a user goes."""

import contextlib
import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import evaluate
import train
from transformer.config.files import load_config
from transformer.storage.model_file import load_model
from transformer.system.errors import UserError
from transformer.system.terminal import run_script

TINY = """\
model: encoder_decoder
batch_size: 16
epochs: none
lr: 1e-2
data_path: train.tsv
val_path: dev.tsv
test_path: test.tsv
block_size: 7
num_heads: 2
embedding_dim: 22
num_blocks: 1
num_workers: 0
positions: sinusoidal
accelerator: cpu
precision: float32
max_steps: 4
val_every_steps: 2
"""


def write_files(folder: Path) -> None:
    """30 words for validation, 20 for the test; three of each also stand in the training file."""
    draw = random.Random(0)
    words = sorted({"".join(draw.choices("abcdef", k=draw.randint(2, 6))) for _ in range(200)})
    draw.shuffle(words)
    parts = {"dev": words[:30], "test": words[30:50], "train": words[50:] + words[27:33]}
    for name, chosen in parts.items():
        text = "".join(f"{word}\t{word.upper()}\n" for word in chosen)
        (folder / f"{name}.tsv").write_text(text, encoding="utf-8")
    (folder / "own.yaml").write_text(TINY, encoding="utf-8")


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, str]:
    """A folder with a run in it, which the tests leave as it is, and what the run has said."""

    import torch

    torch.set_num_threads(1)
    home, said = tmp_path_factory.mktemp("own"), io.StringIO()
    write_files(home)
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said):
        patch.chdir(home)
        patch.setenv("PL_GLOBAL_SEED", "0")
        train.main(["--config", "own.yaml"])
    return home, said.getvalue()


@pytest.fixture
def home(trained, tmp_path, monkeypatch) -> Path:
    """The files alone, in a folder that a test may change."""
    write_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def weights(trained) -> str:
    return str(trained[0] / "runs" / "own" / "version_0" / "model.safetensors")


@pytest.fixture
def score(weights, capsys) -> Callable[..., dict[str, Any]]:
    def call(*flags: str) -> dict[str, Any]:
        evaluate.main([weights, "--json", "--device", "cpu", *flags])
        return json.loads(capsys.readouterr().out)

    return call


def test_the_run_says_what_is_left_out_and_where_the_splits_are_from(trained, weights):
    folder, said = trained
    assert "6 pairs with sources of val_path or test_path left out of training;" in said
    assert "30 for validation, 20 for testing;" in said
    config = load_config(folder / "runs" / "own" / "version_0" / "config.yaml")
    assert (config.val_path, config.test_path) == ("dev.tsv", "test.tsv")
    assert config.test_fraction == 0
    assert list(load_model(weights).corpus["files"]) == ["train.tsv", "dev.tsv", "test.tsv"]


@pytest.mark.parametrize(
    ("flags", "split", "path", "sources"),
    [
        ((), "test", "test.tsv", 20),
        (("--split", "validation"), "validation", "dev.tsv", 30),
        (("--split", "all"), "all files", "train.tsv and 2 more", None),
    ],
)
def test_evaluate_finds_the_splits_from_the_checkpoint_alone(
    home, score, flags, split, path, sources
):
    report = score(*flags)
    assert (report["split"], report["data_path"]) == (split, path)
    assert report["comparison"] is None
    assert sources is None or report["sources"] == sources


@pytest.mark.parametrize(
    ("name", "comparison"),
    [
        ("dev", "the val_path that the model was trained with, by its sha256: it trained on none"),
        ("test", "the test_path that the model was trained with, by its sha256: it trained on no"),
        ("train", "the data_path that the model was trained on, by its sha256: "),
    ],
)
def test_a_file_of_the_run_is_known_by_its_content(home, score, name, comparison):
    (home / f"{name}.tsv").rename("moved.tsv")
    report = score("--data_path", "moved.tsv")
    assert report["split"] == "whole file"
    assert report["comparison"].startswith(comparison)


def test_sources_of_another_file_may_all_have_trained(home, score):
    """Nothing of the training file was kept for a test, so no split of another file is safe."""
    Path("other.tsv").write_text("abc\tA\nbca\tB\n", encoding="utf-8")
    comparison = score("--data_path", "other.tsv")["comparison"]
    assert "by their hash, 2 of these sources belong to the training split" in comparison
    assert "--split test" not in comparison


def test_a_missing_and_a_changed_file_are_named(home, weights):
    Path("dev.tsv").rename("moved.tsv")
    with pytest.raises(UserError, match=r"^dev\.tsv: the val_path of .* is missing: start from"):
        evaluate.main([weights])
    Path("moved.tsv").rename("dev.tsv")
    with Path("test.tsv").open("a", encoding="utf-8") as file:
        file.write("ab\tAB\n")
    with pytest.raises(UserError, match=r"is not the training data of .*: changed: test\.tsv: "):
        evaluate.main([weights])


@pytest.fixture
def checkpoint(trained) -> Path:
    return trained[0] / "runs" / "own" / "version_0" / "checkpoints" / "last.ckpt"


def resume(checkpoint: Path, **changes: Any) -> dict[str, Any]:
    from transformer.run.fit import read_input

    folder = checkpoint.parent.parent
    config = load_config(folder / "config.yaml", changes, same_text=True)
    return dict(read_input(config, checkpoint)[2])


def test_a_resumed_run_takes_moved_files_and_refuses_changed_ones(home, checkpoint):
    assert resume(checkpoint)["val_path"] == "dev.tsv"
    Path("dev.tsv").rename("moved.tsv")
    assert resume(checkpoint, val_path="moved.tsv")["val_path"] == "dev.tsv"
    with Path("moved.tsv").open("a", encoding="utf-8") as file:
        file.write("ab\tAB\n")
    with pytest.raises(UserError, match=r"is not the data it was trained on: missing: dev\.tsv"):
        resume(checkpoint, val_path="moved.tsv")
    with pytest.raises(UserError, match=r"trained with val_path=dev\.tsv, not None: leave it as"):
        resume(checkpoint, val_path=None)


@pytest.mark.slow
def test_the_whole_path_through_the_command_line(home, run):
    trained = run("train.py", "--config", "own.yaml", cwd=home, python=("-W", "error"))
    assert trained.returncode == 0, trained.stderr
    Path("dev.tsv").rename("moved.tsv")
    refused = run("train.py", "--resume", "--max_steps", "8", cwd=home)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
    flags = ("--resume", "--val_path", "moved.tsv", "--max_steps", "8")
    resumed = run("train.py", *flags, cwd=home, python=("-W", "error"))
    assert resumed.returncode == 0, resumed.stderr
    assert "going on from step 4 of 8" in resumed.stdout
    scored = run("evaluate.py", "--json", "--split", "validation", cwd=home)
    assert json.loads(scored.stdout)["data_path"] == "moved.tsv"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--val_path nowhere.tsv", ["nowhere.tsv: no such file of pairs"]),
        ("--test_path nowhere.tsv", ["nowhere.tsv: no such file of pairs"]),
        ("--val_path empty.tsv", ["empty.tsv: the file is empty", "a source, a tab"]),
        ("--test_path .", [".: is a folder, not a file of pairs"]),
        ("--val_path latin1.tsv", ["latin1.tsv: not UTF-8 at byte 3 (0xe9)", "save the file"]),
        ("--test_path ~nobody_here/a", ["no home folder is known for ~nobody_here"]),
        ("--val_path dev.tsv test.tsv", ["val_path: pairs are read from one file, got 2"]),
        ("--test_path dev.tsv test.tsv", ["'test.tsv'", "flags start with --"]),
        ("--test_fraction 0.2", ["test_fraction=0.2 does not go with test_path: leave out one"]),
        ("--val_path bad.tsv", ["bad.tsv: 1 bad line: no tab in line 2:", "--skip_bad_lines"]),
        ("--test_path bad.tsv", ["bad.tsv: 1 bad line: no tab in line 2:", "--skip_bad_lines"]),
        ("--val_path train.tsv", ["no pair is for training", "val_path=train.tsv"]),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(home, capsys, flags, words):
    Path("empty.tsv").touch()
    Path("latin1.tsv").write_bytes("caf\xe9\tX\n".encode("latin-1"))
    Path("bad.tsv").write_text("a\tb\nno tab\n", encoding="utf-8")
    with pytest.raises(SystemExit) as leaving:
        run_script(lambda: train.main(["--config", "own.yaml", *flags.split()]))
    error = capsys.readouterr().err
    assert leaving.value.code == 2
    assert error.startswith("error: ")
    assert len(error.splitlines()) == 1
    for word in words:
        assert word in error
    assert not (home / "runs").exists()


def test_the_home_folder_and_skipped_lines_of_own_files_are_understood(home, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    with Path("dev.tsv").open("a", encoding="utf-8") as file:
        file.write("no tab\n")
    flags = ["--val_path", "~/dev.tsv", "--skip_bad_lines", "--estimate"]
    monkeypatch.setattr("transformer.run.estimation._time_here", lambda *_: "")
    assert train.main(["--config", "own.yaml", *flags]) == 0
    assert "examples per step" in capsys.readouterr().out


def test_a_plan_counts_the_training_pairs_and_fits_every_file(home, monkeypatch, capsys):
    """The longest side stands in the test file alone; a plan needs 200 pairs."""
    words = [f"{n:04}" for n in range(0, 4000, 7)]
    texts = {"train": words, "dev": words[:50], "test": ["0123456789"]}
    for name, chosen in texts.items():
        Path(f"{name}.tsv").write_text("".join(f"{word}\tx\n" for word in chosen))
    files = "--data_path train.tsv --val_path dev.tsv --test_path test.tsv --max_steps 3".split()
    arguments = ["--model", "encoder_decoder", *files, "--accelerator", "cpu", "--print_config"]
    assert train.main(arguments) == 0
    printed = capsys.readouterr()
    assert "block_size: 10\n" in printed.out
    assert f"passes over {len(words) - 50} pairs" in printed.err
