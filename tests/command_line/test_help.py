"""What the scripts say of themselves, before anything heavy is imported."""

import json

import pytest
import yaml

from evaluate import EvaluateOptions
from explain import ExplainOptions
from export import ExportOptions
from generate import GenerateOptions
from plot import PlotOptions
from tests.marks import first_fast
from tests.processes import processor_seconds
from transformer.config.files import load_config
from transformer.config.keys import Config, foreign_keys
from transformer.sweep.options import SweepOptions

SCRIPTS = {
    "train.py": (Config, ["config", "resume", "print_config"]),
    "generate.py": (GenerateOptions, ["help"]),
    "evaluate.py": (EvaluateOptions, ["json"]),
    "explain.py": (ExplainOptions, ["help"]),
    "plot.py": (PlotOptions, ["help"]),
    "export.py": (ExportOptions, ["help"]),
    "sweep.py": (SweepOptions, ["vary", "try", "resume", "retry", "json", *Config.model_fields]),
}


@pytest.mark.parametrize("script", first_fast(SCRIPTS, 2))
def test_help_names_every_flag_within_a_second(start_anew, tmp_path, script):
    for _ in range(3):  # three tries, as other work on the machine only adds
        before = processor_seconds()
        result = start_anew(script, "--help", cwd=tmp_path)
        seconds = processor_seconds() - before
        if seconds < 1:
            break
    assert result.returncode == 0
    assert seconds < 1
    kind, others = SCRIPTS[script]
    for name in [*kind.model_fields, *others]:
        assert f"--{name} " in result.stdout or f"--{name}\n" in result.stdout
    for field in kind.model_fields.values():
        assert field.description.split()[0] in result.stdout


@pytest.fixture
def no_torch(tmp_path):
    (tmp_path / "torch.py").write_text("raise SystemExit('torch was imported')")
    return str(tmp_path)


def test_print_config_shows_the_resolved_config_without_torch(
    run, tmp_path, write_inputs, no_torch
):
    write_inputs(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    flags = "--config tiny.yaml --lr 5e-4 --print_config".split()
    result = run("train.py", *flags, cwd=tmp_path, PYTHONPATH=no_torch)
    assert (result.returncode, result.stderr) == (0, "")
    shown = yaml.safe_load(result.stdout)
    assert shown["lr"] == 5e-4
    assert shown["feedforward_dim"] is None
    assert shown["run_name"] == "tiny"
    idle = {"vocab_size", "min_frequency"}  # tokenizer: characters has no such keys
    assert shown.keys() == Config.model_fields.keys() - foreign_keys("gpt") - idle
    (tmp_path / "shown.yaml").write_text(result.stdout)
    config = load_config(tmp_path / "tiny.yaml", {"lr": 5e-4, "run_name": "tiny"})
    assert load_config(tmp_path / "shown.yaml").resolved() == config.resolved()
    (tmp_path / "shown.yaml").unlink()
    assert sorted(tmp_path.rglob("*")) == before


def test_print_schema_is_json_with_every_key_and_needs_no_torch(run, tmp_path, no_torch):
    result = run("train.py", "--print_schema", cwd=tmp_path, PYTHONPATH=no_torch)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["properties"].keys() == Config.model_fields.keys()
