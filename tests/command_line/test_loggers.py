"""`logger`: curves also go to metrics.csv or to Weights & Biases, in resumed runs too."""

import csv
from unittest.mock import patch

import pytest

import train
from transformer.storage.curves import read_curves
from transformer.storage.run_folder import LAST
from transformer.system.errors import UserError
from transformer.training.extra_loggers import RunCsv

SHORT = {"max_steps": 20, "val_every_steps": 10}


def rows_of(run):
    with open(run / "metrics.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def losses(run, name="val_loss"):
    return {int(row["step"]): float(row[name]) for row in rows_of(run) if row[name]}


def test_metrics_csv_holds_the_curves_of_the_events(train_here):
    run = train_here(logger="csv", **SHORT)
    curves = read_curves(run)
    for name in ("train_loss", "val_loss"):
        logged = {point.step: point.value for point in curves[name]}
        assert losses(run, name) == pytest.approx(logged, rel=1e-6)  # events keep float32
    assert [*losses(run)] == [10, 20]
    assert [row["step"] for row in rows_of(run)] == ["10", "20"]  # one row for each step
    assert not any("" in row.values() for row in rows_of(run))
    assert not (run / "hparams.yaml").exists()


def test_a_resumed_run_goes_on_in_metrics_csv_and_replaces_later_rows(train_here):
    run = train_here(logger="csv", **SHORT)
    with open(run / "metrics.csv", "a", encoding="utf-8") as file:
        file.write(f"{','.join(['99'] * 9)}\n9,9")  # past the checkpoint, and cut off by a kill
    again = train_here(run / "config.yaml", run / LAST, logger="csv", **SHORT | {"max_steps": 30})
    assert again == run
    assert [row["step"] for row in rows_of(run)] == ["10", "20", "30"]
    assert [*losses(run)] == [10, 20, 30]
    assert [*losses(run, "train_loss")] == [10, 20, 30]


def test_a_run_may_begin_with_another_logger_when_it_is_resumed(train_here):
    run = train_here(**SHORT)
    assert not (run / "metrics.csv").exists()
    train_here(run / "config.yaml", run / LAST, logger="csv", **SHORT | {"max_steps": 30})
    assert [*losses(run)] == [30]


def test_a_name_of_a_folder_is_taken_literally(tmp_path):
    folder = tmp_path / "$HOME" / "~" / "version_0"
    folder.mkdir(parents=True)
    logger = RunCsv(folder, 0)
    logger.log_metrics({"val_loss": 1.0}, step=1)
    logger.save()
    assert losses(folder) == {1: 1.0}


def test_a_missing_package_is_an_error_before_torch_is_loaded(short_runs, monkeypatch):
    monkeypatch.setattr("transformer.system.packages.find_spec", lambda name: None)
    match = r"^`logger=wandb` needs the package wandb: pip install -r requirements-wandb\.txt$"
    with pytest.raises(UserError, match=match):
        train.parse_arguments("--config tiny.yaml --logger wandb".split())


@pytest.mark.slow
def test_weights_and_biases_gets_the_curves_also_of_a_resumed_run(run, tmp_path, write_inputs):
    write_inputs(tmp_path)
    variables = {"WANDB_MODE": "offline", "WANDB_DIR": "", "WANDB_API_KEY": ""}
    flags = "--logger wandb --max_steps 20 --val_every_steps 10".split()
    first = run("train.py", "--config", "tiny.yaml", *flags, cwd=tmp_path, **variables)
    assert first.returncode == 0, first.stderr
    again = run("train.py", "--resume", "--max_steps", 30, cwd=tmp_path, **variables)
    assert again.returncode == 0, again.stderr
    folder = tmp_path / "runs" / "tiny" / "version_0"
    name = (folder / "wandb_id.txt").read_text(encoding="utf-8").strip()
    files = sorted((folder / "wandb").glob("offline-run-*/*.wandb"))
    assert [file.name for file in files] == [f"run-{name}.wandb"] * 2
    assert all(b"val_loss" in file.read_bytes() for file in files)
    assert b"hamlet.txt" in files[0].read_bytes()  # a key of the config


def test_without_an_account_it_says_what_to_do(train_here, tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    refuse = wandb.errors.UsageError("No API key\nconfigured.")
    with patch.object(wandb, "init", side_effect=refuse):
        match = r"does not start \(No API key configured\.\): run `wandb login`, set WANDB_MODE"
        with pytest.raises(UserError, match=match):
            train_here(logger="wandb", **SHORT)
