"""The tables in benchmarks/README.md equal those made from the files of results."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["ablation_options", "ablation_recipe", "ablation_quick"])
def test_a_table_of_an_ablation_is_that_of_its_file(load_benchmark, name):
    record = load_benchmark("record")
    figures = record.load(name, record.PUBLISHED)["figures"]
    assert load_benchmark("ablate").table(figures) in README


def test_every_script_has_a_row():
    helpers = {"record", "variants", "candidates", "mutations", "machines"}
    for path in (ROOT / "benchmarks").glob("*.py"):
        if path.stem not in helpers:
            assert f"| `{path.name} " in README or f"| `{path.name}`" in README, path.name
