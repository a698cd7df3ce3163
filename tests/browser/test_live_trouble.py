"""The page that runs a model, with hasty readers and files that are cut short."""

import re

import pytest

from transformer.pages.live.page import live_page

pytestmark = pytest.mark.browser

NUM_WRITTEN = 23
# All in one task, before the engine can answer.
ENTER = """([name, ...texts]) => texts.forEach(text => {
    const field = document.getElementById(name);
    field.value = text;
    field.dispatchEvent(new Event("input"));
})"""
CLICK = "names => names.forEach(name => document.getElementById(name).click())"
# A part asks the engine again before the next task.
IDLE = """started.then(async ({ writing: { engine } }) => {
    do await new Promise(resolve => setTimeout(resolve, 20));
    while (engine.waiting.size);
})"""
TYPE_FIRST = """<script>
new MutationObserver((_, observer) => {
    observer.disconnect();
    find("typed").value = "b";
    find("typed").dispatchEvent(new Event("input"));
}).observe(document.querySelector("main"), { attributes: true });
</script>"""


def wait_for_end_of_writing(page, verb="Wrote"):
    page.locator("#write-status", has_text=re.compile(f"^{verb} ")).wait_for()


def seen_of(page):
    page.evaluate(IDLE)
    return page.inner_text("#learned-loss"), page.inner_text("#learned-text")


def test_a_text_is_written_on_from_the_prompt_that_was_typed_last(open_live):
    page = open_live(prompt="a")
    page.fill("#count", str(NUM_WRITTEN))
    page.evaluate(ENTER, ["prompt", "b", "שלום"])
    page.evaluate(CLICK, ["write-on"])
    wait_for_end_of_writing(page)
    written = page.locator("#written .unit").all_inner_texts()
    assert written[:4] == [*"שלום"]
    assert len(written) == 4 + NUM_WRITTEN
    assert page.locator("#written .written").count() == NUM_WRITTEN


def test_many_clicks_at_once_act_one_after_another(open_live):
    page = open_live(prompt="a")
    page.fill("#count", str(NUM_WRITTEN))
    page.evaluate(CLICK, ["write-on", "write-on", "take-back", "begin-again", "write-on"])
    wait_for_end_of_writing(page)
    assert page.inner_text("#write-status") == f"Wrote {NUM_WRITTEN} characters."
    assert page.inner_text("#write-on") == "Write on"
    assert page.locator("#written .unit").count() == 1 + NUM_WRITTEN


def test_a_moment_shows_what_it_makes_of_the_prompt_that_was_typed_last(open_live, snapshots):
    page = open_live(prompt="a", snapshots=snapshots)
    page.evaluate(ENTER, ["learned-prompt", "שלום a b", "be&"])
    hasty = seen_of(page)
    page.evaluate(ENTER, ["learned-prompt", "a"])
    assert seen_of(page) != hasty
    page.evaluate(ENTER, ["learned-prompt", "be&"])
    assert seen_of(page) == hasty


def test_a_moment_shows_nothing_of_a_prompt_that_was_emptied(open_live, snapshots):
    page = open_live(prompt="ab", snapshots=snapshots)
    page.fill("#learned-prompt", "")
    page.locator("#learned-text").wait_for(state="hidden")
    page.locator("#learned-title").wait_for(state="hidden")
    page.fill("#learned-prompt", "b")
    page.locator("#learned-text").wait_for()
    page.locator("#learned-title").wait_for()


def test_what_is_typed_while_the_page_opens_stays(open_html, saved):
    html = live_page(saved, prompt="a").replace("</body>", TYPE_FIRST + "</body>")
    page = open_html(html)
    page.wait_for_selector("body[data-ready]")
    assert page.input_value("#typed") == "b"
    assert page.locator("#opening").is_hidden()
    assert page.locator("#text .unit").all_inner_texts() == ["b"]


@pytest.mark.parametrize("mark", ['id="model">', 'id="weights">', 'id="engine">', "class Writing"])
def test_a_file_that_ends_too_early_says_so(open_html, saved, mark):
    html = live_page(saved, prompt="a")
    page = open_html(html[: html.index(mark) + len(mark) + 99])
    page.locator("#fault", has_text="incomplete or damaged").wait_for()


def test_names_of_invisible_characters_fit_a_narrow_page(open_live):
    page = open_live(prompt="\u2028" * 12, viewport={"width": 360, "height": 900})
    page.locator("#next-title", has_text="U+2028" * 12).wait_for()
    page.click("#written-unit-5")
    page.click("#unit-5")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
