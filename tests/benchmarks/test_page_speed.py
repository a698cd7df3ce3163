"""A quick version of the benchmark of the page that runs a model."""

import pytest

pytestmark = pytest.mark.browser


def test_the_model_of_the_default_config_writes_and_explains(load_benchmark):
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    script = load_benchmark("page_speed")
    if script.CHROMIUM is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    figures = script.measured(rounds=2)
    assert figures["parameters"] == 1_722_176
    for kind in ("simd", "plain"):
        assert all(figure > 0 for figure in figures[kind].values())
