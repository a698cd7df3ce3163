"""A quick version of the benchmark of exported models."""

import sys

import pytest


@pytest.mark.slow(seconds=35)
def test_each_program_that_is_installed_writes_with_the_same_model(load_benchmark, monkeypatch):
    script = load_benchmark("export_speed")
    monkeypatch.setitem(sys.modules, "export_speed", script)  # its processes import it by name
    names = script.available()
    assert {"ours", "onnxruntime", "transformers"} <= {*names}
    figures = script.measure(names, rounds=1, num_threads=1, count=10)
    assert figures["parameters"] == 10_770_816
    assert all(rate > 0 for rate in figures["tokens_per_second"].values())
