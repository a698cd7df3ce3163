"""The tables in benchmarks/README.md equal those made from the files of results."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["ablation_options", "ablation_recipe", "ablation_quick"])
def test_a_table_of_an_ablation_is_that_of_its_file(load_benchmark, name):
    record = load_benchmark("record")
    figures = record.load(name, record.PUBLISHED)["figures"]
    assert load_benchmark("ablate").recorded_table(figures) in README


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("AMD EPYC AVX2", "amd-epyc-avx2"),
        ("Intel(R) Xeon(R) Processor @ 2.80GHz AVX512 bf16", "intel-xeon-avx512-bf16"),
        ("NVIDIA H100 80GB HBM3", "nvidia-h100-80gb-hbm3"),
    ],
)
def test_each_processor_has_a_folder(load_benchmark, name, folder):
    assert load_benchmark("record").as_folder(name) == folder


def test_every_script_has_a_row():
    helpers = {"record", "whole_runs", "mutations", "machines", "process_memory"}
    for path in (ROOT / "benchmarks").glob("*.py"):
        if path.stem not in helpers:
            assert f"| `{path.name} " in README or f"| `{path.name}`" in README, path.name
