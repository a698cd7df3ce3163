"""From a text file to a run folder, generated text and an exact loss, through the command line."""

import json
import math
import re
import shlex
from fnmatch import fnmatch
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from transformer.config.files import load_config
from transformer.storage.events import EVENTS

SUMMARY_KEYS = (
    "val_loss val_bits_per_char train_loss step corpus_passes elapsed_seconds tokens_per_second "
    "num_parameters num_trained_parameters device num_devices precision torch"
).split()

# Of a Lightning run, or of Python, that a user cannot act on.
NOISE = re.compile(r"warn|tip:|GPU available|TPU|LeafSpec|Trainer|`|/site-packages/", re.IGNORECASE)


def plain_parts(value):
    """Every leaf of a nest of dicts and lists, keys too."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from plain_parts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from plain_parts(item)
    else:
        yield value


def test_a_run_folder_holds_all_that_is_promised(finished):
    found = {p.relative_to(finished.folder).as_posix() for p in finished.folder.rglob("*")}
    events = {name for name in found if fnmatch(name, EVENTS)}
    assert len(events) == 1
    assert found - events == {
        "config.yaml",
        "checkpoints",
        "checkpoints/best.ckpt",
        "checkpoints/last.ckpt",
        "checkpoints/previous.ckpt",
        "model.safetensors",
        "repeat.json",
        "summary.json",
    }


def test_the_config_in_a_run_folder_makes_the_same_run(finished):
    given = load_config(finished.home / "tiny.yaml").model_copy(update={"run_name": "tiny"})
    written = load_config(finished.folder / "config.yaml")
    # So short a run is not compiled; its one thread is recorded, for a resume on more cores.
    measured = {"attention": written.attention, "compile": False, "num_threads": 1}
    assert written.attention in ("explicit", "fused")
    assert written.resolved() == given.resolved() | measured
    assert written.feedforward_dim is None


def test_a_summary_has_every_key_with_plausible_values(finished):
    summary = finished.summary
    assert set(SUMMARY_KEYS) <= summary.keys()
    assert summary["step"] == 70
    num_train = int(0.9 * len((finished.home / "hamlet.txt").read_text()))
    assert summary["corpus_passes"] == pytest.approx(70 * 7 * 16 / num_train, rel=1e-12)
    assert summary["val_bits_per_char"] == pytest.approx(summary["val_loss"] / math.log(2))
    assert 1.5 < summary["train_loss"] < summary["val_loss"] < math.log(50)
    assert summary["torch"] == torch.__version__
    assert summary["precision"] == "32-true"
    assert summary["tokens_per_second"] > 0
    assert 0 < summary["elapsed_seconds"] < 120


@pytest.mark.parametrize("name", ["best.ckpt", "last.ckpt"])
def test_a_checkpoint_holds_plain_values_and_no_folder_of_this_machine(finished, name):
    content = torch.load(finished.folder / "checkpoints" / name, weights_only=True)
    for part in plain_parts(content):
        assert part is None or isinstance(part, bool | int | float | str | torch.Tensor), part
        if isinstance(part, str):
            assert str(finished.home.parent) not in part
    assert not any(key.startswith("model._orig_mod") for key in content["state_dict"])


def test_best_is_the_step_of_the_lowest_validation_loss_and_last_the_last(finished):
    losses = re.findall(r"^step (\d+):.* val_loss ([\d.]+)", finished.output, re.MULTILINE)
    assert [int(step) for step, _ in losses] == [30, 60, 70]
    best_step, best_loss = min(losses, key=lambda pair: float(pair[1]))
    assert finished.summary["best_step"] == int(best_step)
    assert finished.summary["val_loss"] == pytest.approx(float(best_loss), abs=6e-5)  # 4 decimals
    for name, step in (("best", int(best_step)), ("last", 70)):
        path = finished.folder / "checkpoints" / f"{name}.ckpt"
        assert torch.load(path, weights_only=True)["global_step"] == step


def test_a_run_says_what_it_trains_and_what_comes_next_and_nothing_else(finished):
    count = f"{finished.summary['num_parameters']:,}"
    for words in (
        "70 steps of 112 tokens (batch_size 7); a corpus pass is ",
        "the run is in runs",
        "python generate.py runs",
        "tensorboard --logdir runs",
    ):
        assert words in finished.output
    assert re.search(rf"all parameters +{count}", finished.output)
    assert not NOISE.search(finished.output), finished.output


def test_the_printed_next_command_works_as_it_stands(finished, monkeypatch, capsys):
    import generate

    command = re.search(r"python generate\.py (.+)", finished.output)
    arguments = shlex.split(command[1])
    monkeypatch.chdir(finished.home)
    assert generate.main([*arguments, "--seed", "1"]) == 0
    assert arguments[1] == "--prompt"
    assert capsys.readouterr().out.startswith(arguments[2])


@pytest.mark.parametrize(
    "checkpoint",
    [
        pytest.param([], id="the newest run"),
        pytest.param(["model.safetensors"], id="weights"),
        pytest.param(["checkpoints/best.ckpt"], id="best.ckpt"),
        pytest.param(["."], id="run folder"),
    ],
)
def test_every_way_to_name_the_best_model_gives_the_same_text(
    finished, monkeypatch, capsys, checkpoint
):
    import generate
    from transformer.generation.text import load

    monkeypatch.chdir(finished.home)
    named = [str(finished.folder.relative_to(finished.home) / name) for name in checkpoint]
    flags = "--prompt To --max_new_tokens 40 --num_samples 2 --temperature 0.7 --seed 3".split()
    assert generate.main([*named, *flags, "--device", "cpu"]) == 0
    result = capsys.readouterr()
    texts = load(finished.folder / "model.safetensors", "cpu").generate(
        "To", max_new_tokens=40, num_samples=2, temperature=0.7, seed=3
    )
    assert result.out == f"{texts[0]}\n{'-' * 40}\n{texts[1]}\n"
    assert "seed 3" in result.err


@pytest.mark.parametrize(
    ("prompt", "start", "dropped"),
    [
        ([], "\n", ""),
        (["--prompt", ""], "\n", ""),
        (["--prompt", "Tölöo", "--skip_unknown"], "Tlo", "2 unknown characters"),
        (["--prompt", "éé", "--skip_unknown"], "\n", "2 unknown characters"),
        (["--prompt_file", "bom.txt"], "To be,\nor", ""),
    ],
)
def test_what_a_text_starts_with(finished, monkeypatch, capsys, tmp_path, prompt, start, dropped):
    import generate

    monkeypatch.chdir(tmp_path)
    (tmp_path / "bom.txt").write_bytes("\ufeffTo be,\r\nor".encode())
    status = generate.main([str(finished.folder), *prompt, "--max_new_tokens", "3"])
    captured = capsys.readouterr()
    assert status == 0
    assert captured.out.startswith(start)
    assert len(captured.out) == len(start) + 3 + len("\n")
    assert ("unknown" in captured.err) == bool(dropped)
    assert dropped in captured.err


@pytest.mark.slow
def test_evaluate_gives_the_loss_of_the_summary(finished, run, same_logits):
    import torch

    from transformer.storage.model_file import load_model

    result = run("evaluate.py", "--json", cwd=finished.home)
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    loss, expected = report["scores"]["model"]["loss"], finished.summary["val_loss"]
    model = load_model(finished.folder / "model.safetensors").model
    same_logits(torch.tensor(loss), torch.tensor(expected), model)  # sums of another batch
    assert report["split"] == "validation"
    assert set(report["scores"]) == {"model", "unigram", "bigram", "xz"}
    text = (finished.home / "hamlet.txt").read_text()
    assert report["characters"] == len(text) - int(0.9 * len(text))


def evaluate_here(finished, monkeypatch, capsys, *flags):
    import evaluate

    monkeypatch.chdir(finished.home)
    status = evaluate.main([str(finished.folder), *flags])
    assert status == 0
    return capsys.readouterr().out


def test_another_file_is_evaluated_whole(finished, monkeypatch, capsys, tmp_path):
    other = tmp_path / "other.txt"
    other.write_text("To sleep, perchance to dream.\n" * 5)
    report = json.loads(
        evaluate_here(finished, monkeypatch, capsys, "--json", "--data_path", str(other))
    )
    assert (report["split"], report["characters"], report["skipped"]) == ("whole file", 150, 0)
    assert report["scores"]["model"]["num_scored"] == 149


def test_evaluate_leaves_out_and_counts_what_the_model_never_saw(
    finished, monkeypatch, capsys, tmp_path
):
    other = tmp_path / "other.txt"
    other.write_text("Tö sleep, perchance tö dream.\n" * 5, encoding="utf-8")
    flags = ("--data_path", str(other), "--skip_unknown")
    table = evaluate_here(finished, monkeypatch, capsys, *flags)
    assert "150 characters, 10 of them unknown and skipped" in table
    report = json.loads(evaluate_here(finished, monkeypatch, capsys, *flags, "--json"))
    assert report["skipped"] == 10
    assert report["scores"]["model"]["num_scored"] == 139


def test_the_table_names_model_and_baselines(finished, monkeypatch, capsys):
    table = evaluate_here(finished, monkeypatch, capsys)
    assert [line.split()[0] for line in table.splitlines()[-4:]] == [
        "model",
        "bigram",
        "unigram",
        "xz",
    ]
    assert f"{finished.summary['val_loss']:.4f}" in table


def test_the_table_says_in_a_line_what_each_baseline_is(finished, monkeypatch, capsys):
    lines = evaluate_here(finished, monkeypatch, capsys).splitlines()
    (line,) = [line for line in lines if "bigram counts" in line]
    assert "xz is a file packer" in line
    assert "repeats itself" in line


def test_tables_and_headlines_have_no_minus_before_zero():
    """Of a certain prediction the loss is -log 1, which is -0.0, or falls a rounding below it."""
    from transformer.data.tokenizers.base import TextSize
    from transformer.data.tokenizers.characters import CharacterTokenizer
    from transformer.evaluation.text import Score
    from transformer.evaluation.text_report import as_table
    from transformer.tasks.text_run import TextRun

    report = {"checkpoint": "a", "data_path": "b", "split": "c", "units": "characters"}
    report |= {"characters": 2, "skipped": 0, "comparison": None}
    size = TextSize(5, 5)
    scores = {"model": Score(-0.0, 5, size).as_dict(), "xz": Score(-1e-9, 5, size).as_dict()}
    assert "-0.0" not in as_table(report | {"scores": scores})
    of_text: Any = SimpleNamespace(corpus=SimpleNamespace(tokenizer=CharacterTokenizer("a")))
    line = TextRun.headline(of_text, {"val_loss": -1e-9, "val_bits_per_char": -0.0})
    assert line == "val_loss 0.0000 (0.0000 bits per character)"
