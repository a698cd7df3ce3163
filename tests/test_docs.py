"""The figures of several devices, in docs/ and in the README, are those of the results."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
README = (ROOT / "README.md").read_text(encoding="utf-8")
SCALING = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")


def test_the_readmes_ratio_is_that_of_the_results():
    figures = json.loads((RESULTS / "scaling.json").read_text("utf-8"))["figures"]
    assert f"train {figures['ratio']:.2f} times as fast as one" in README


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("memory", "table"),
        ("memory", "measured_table"),
        ("scaling", "table"),
        ("devices", "table"),
    ],
)
def test_tables_of_scaling_are_those_of_the_results(load_benchmark, name, table):
    content = json.loads((RESULTS / f"{name}.json").read_text("utf-8"))
    assert getattr(load_benchmark(name), table)(content["figures"]) in SCALING
