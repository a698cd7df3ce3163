"""A real Chromium, and pages in it that may ask the network for nothing and say nothing."""

import os
import shutil

import pytest

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
