"""The HTML of the page: it holds the data of the explanation and loads nothing."""

import base64
import json
import re
import tomllib
import zlib
from pathlib import Path

import numpy as np
import pytest

from transformer.inspection.explanation import Explanation, Unit
from transformer.inspection.page import as_data, as_page, packed, quantized
from transformer.pages.template import template

ROOT = Path(__file__).parents[2]
N, H, T, S = 2, 3, 5, 7
ODD = ["</script>", "<!--", "\u2028", "{{explain.js}}", "\ud800", "é", "\\", '"', "&amp;"]


def some_weights(*shape, causal, scale=1.0):
    """Rows that sum to 1, as a softmax makes them."""
    scores = scale * np.random.default_rng(0).standard_normal(shape)
    if causal:
        scores[..., ~np.tri(shape[-1], dtype=bool)] = -np.inf
    weights = np.exp(scores)
    return (weights / weights.sum(axis=-1, keepdims=True)).astype(np.float32)


def explanation_of(texts, num_blocks=N, num_heads=H, scale=1.0):
    alternatives = tuple((text, 0.125) for text in texts[:5])
    units = [Unit(texts[0]), *(Unit(text, 1.5, alternatives) for text in texts[1:])]
    shape = (num_blocks, num_heads, len(texts), len(texts))
    return Explanation(tuple(units), some_weights(*shape, causal=True, scale=scale))


def data_of(page):
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    return json.loads(text)


def test_any_text_comes_back_from_the_page_as_it_was():
    explanation = explanation_of(ODD)
    page = as_page(explanation, model="<b>\u2028", num_written=2)
    expected = {"model": "<b>\u2028", "num_written": 2, "cut": ""} | as_data(explanation)
    assert data_of(page) == json.loads(json.dumps(expected))
    assert data_of(page)["units"] == ODD


def test_no_text_can_end_the_script_it_stands_in():
    empty, odd = (as_page(explanation_of(texts), model="") for texts in (["a", "b"], ODD))
    for part in ("<script", "</script", "<!--", "\u2028"):
        assert odd.count(part) == empty.count(part)
    assert "{{" not in empty  # each place of the template is filled


def test_the_page_names_no_other_place():
    page = as_page(explanation_of(ODD), model="")
    assert re.findall(r"https?:|//[a-z]|@import|url\(", re.sub(r"// .*", "", page)) == []


def test_a_weight_comes_back_within_its_step_and_nothing_stays_nothing():
    weights = np.linspace(0, 1, 1009)
    back = (quantized(weights) / 255.0) ** 2
    assert (np.abs(back - weights) <= np.sqrt(weights) / 255 + 1 / 510**2).all()
    assert (back[0], back[-1]) == (0, 1)


@pytest.mark.parametrize("causal", [False, True])
def test_weights_are_packed_row_by_row_without_what_comes_later(causal):
    shape = (N, H, T, T) if causal else (N, H, T, S)
    weights = some_weights(*shape, causal=causal)
    levels = iter(zlib.decompress(base64.b64decode(packed(weights, causal=causal))))
    for n, h, t, s in np.ndindex(*shape):
        if s <= t or not causal:
            assert next(levels) == quantized(weights[n, h, t, s, None])[0]
    assert next(levels, None) is None


def test_256_characters_in_48_heads_are_under_2_mb():
    """The README's nine keys; rows of noise pack worse than those of trained heads."""
    explanation = explanation_of([*"abcdefgh" * 32], num_blocks=6, num_heads=8, scale=2.0)
    assert len(as_page(explanation, model="").encode()) < 2_000_000


def test_an_installed_package_has_the_templates():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["transformer.pages"]
    package = ROOT / "transformer" / "pages"
    packaged = {path for pattern in patterns for path in package.glob(pattern)}
    others = {
        p
        for p in (ROOT / "transformer").rglob("*")
        if p.is_file() and p.suffix not in (".py", ".pyc")
    }
    assert others == packaged != set()


def test_a_screen_that_is_touched_is_told_to_be_touched():
    """The words for a mouse and for a finger both stand there; the style shows one of them."""
    page, script, style = (template(name) for name in ("reading.html", "reader.js", "reading.css"))
    assert re.search(r"hover: none\) \{\s*\.by-touch \{ display: inline", style)
    for text in (page, script):
        assert "by-touch" in text
        assert "by-mouse" in text
    assert all(
        "by-mouse" in page[i - 30 : i] for i in [m.start() for m in re.finditer("Point at", page)]
    )
