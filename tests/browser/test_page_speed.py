"""A quick version of the benchmark of the page that runs a model."""

import pytest

pytestmark = pytest.mark.browser


def test_the_model_of_the_default_config_writes_and_explains(load_benchmark, chromium):
    figures = load_benchmark("page_speed").measured(chromium, rounds=2)
    assert figures["parameters"] > 500_000
    for kind in ("simd", "plain"):
        assert all(figure > 0 for figure in figures[kind].values())
