"""The tables in benchmarks/README.md are those of the files of results."""

import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def benchmark_module(monkeypatch):
    """By name, as its neighbours import it."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    before = set(sys.modules)
    yield import_module
    for name in set(sys.modules) - before:
        if (ROOT / "benchmarks" / f"{name}.py").exists():
            del sys.modules[name]


@pytest.mark.parametrize("name", ["ablation_options", "ablation_recipe", "ablation_quick"])
def test_a_table_of_an_ablation_is_that_of_its_file(benchmark_module, name):
    figures = benchmark_module("record").load(name)["figures"]
    assert benchmark_module("ablate").table(figures) in README


def test_every_script_has_a_row():
    helpers = {"record", "variants", "candidates"}
    for path in (ROOT / "benchmarks").glob("*.py"):
        if path.stem not in helpers:
            assert f"| `{path.name} " in README or f"| `{path.name}`" in README, path.name
