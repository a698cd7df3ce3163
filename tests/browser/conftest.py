"""A real Chromium, and pages in it that may ask the network for nothing and say nothing."""

import os
import shutil

import pytest

from tests.browser.texts import HOSTILE
from transformer.data.tokenizers.characters import CharacterTokenizer
from transformer.pages.live.page import live_page
from transformer.storage.int8_rows import quantized
from transformer.storage.metadata import distinct_tensors
from transformer.storage.saved_model import SavedModel
from transformer.storage.snapshots import list_snapshots, write_snapshot

WIDTHS = (360, 1200)


def find_chromium():
    names = ("chromium", "chromium-browser", "google-chrome")
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


@pytest.fixture(scope="session")
def chromium():
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = find_chromium()
    if path is None:
        pytest.skip("no Chromium here: apt-get install chromium, or name one in CHROMIUM")
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path)
        yield browser
        browser.close()


@pytest.fixture
def open_html(chromium, tmp_path):
    """Opens a page from file://; nothing may be asked of the network or said on the console."""
    said, asked, contexts = [], [], []

    def call(html, **settings):
        path = tmp_path / "page.html"
        path.write_text(html, encoding="utf-8")
        settings = {"viewport": {"width": 1200, "height": 1000}} | settings
        contexts.append(chromium.new_context(**settings))
        page = contexts[-1].new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        return page

    yield call
    for context in contexts:
        context.close()
    assert said == []
    assert [url for url in asked if not url.startswith(("file://", "data:", "blob:"))] == []


@pytest.fixture
def saved(make_gpt, tmp_path):
    tokenizer = CharacterTokenizer.from_text(HOSTILE)
    model = make_gpt(vocab_size=tokenizer.vocab_size, block_size=61)
    path = tmp_path / "model.safetensors"
    return SavedModel(path, model, tokenizer, model.architecture, {}, {}, {})


@pytest.fixture
def open_live(open_html, saved):
    def call(prompt=HOSTILE, snapshots=(), **settings):
        page = open_html(live_page(saved, snapshots=snapshots, prompt=prompt), **settings)
        page.wait_for_selector("body[data-ready]")
        return page

    return call


@pytest.fixture
def snapshots(make_gpt, saved, tmp_path):
    """Of two other models."""
    for step, loss in [(3, 2.5), (31, 1.5)]:
        saved.model.final_norm.weight.data *= -0.5
        weights = quantized(distinct_tensors(saved.model.state_dict()))
        write_snapshot(tmp_path, step, loss, weights)
    return list_snapshots(tmp_path)
