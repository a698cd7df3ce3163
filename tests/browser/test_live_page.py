"""The page that runs a model, in a real Chromium, from file://."""

import re
from dataclasses import replace

import pytest

from tests.browser.texts import HOSTILE
from transformer.data.tokenizers.pairs import PairTokenizer, UnitTokenizer
from transformer.pages.live.page import live_page
from transformer.storage.saved_model import SavedModel

pytestmark = pytest.mark.browser

NUM_WRITTEN = 23
SHARES = "units => units.map(unit => Number(unit.style.getPropertyValue('--share')))"


def write(page, count=NUM_WRITTEN):
    page.fill("#count", str(count))
    page.click("#write-on")
    page.locator("#write-status", has_text=re.compile("^Wrote")).wait_for()


def text_of(page, name="written"):
    return page.locator(f"#{name} .unit").all_inner_texts()


def loss_of(page):
    return page.inner_text("#loss")


def wait_for_change(page, selector, before):
    pattern = re.compile(f"^(?!{re.escape(before)}$)", re.DOTALL)
    page.locator(selector, has_text=pattern).wait_for()


def test_the_same_seed_writes_the_same_text_and_temperature_0_the_likeliest(open_live):
    page = open_live(prompt="a")
    write(page)
    first = text_of(page)
    assert len(first) == 1 + NUM_WRITTEN
    assert page.locator("#written .written").count() == NUM_WRITTEN
    page.click("#begin-again")
    page.locator("#written-unit-1").wait_for(state="detached")
    write(page)
    assert text_of(page) == first
    page.click("#begin-again")
    page.locator("#written-unit-1").wait_for(state="detached")
    page.get_by_label("Temperature, as a number").fill("0")
    write(page)
    page.click("#written-unit-5")
    likeliest = page.locator("#choices li").first.inner_text()
    assert "✓" in likeliest


def test_writing_stops_goes_on_and_is_taken_back(open_live):
    page = open_live(prompt="a")
    page.fill("#count", "10000")
    page.click("#write-on")
    page.locator("#written-unit-9").wait_for()
    assert page.inner_text("#write-on") == "Stop"
    page.click("#write-on")
    page.locator("#write-status", has_text="Stopped").wait_for()
    stopped = text_of(page)
    page.click("#take-back")
    page.locator(f"#written-unit-{len(stopped) - 1}").wait_for(state="detached")
    assert text_of(page) == stopped[:-1]
    write(page)
    assert text_of(page)[: len(stopped) - 1] == stopped[:-1]
    assert len(text_of(page)) == len(stopped) - 1 + NUM_WRITTEN


def test_another_of_the_likeliest_replaces_a_place_and_the_text_goes_on_from_it(open_live):
    page = open_live(prompt="a")
    write(page)
    before = text_of(page)
    page.focus("#written-unit-0")
    for key in ["ArrowRight"] * 4 + ["Enter"]:  # the keys alone do
        page.keyboard.press(key)
    others = page.locator("#choices .pick")
    assert others.count() == 5
    place = next(i for i in range(5) if "✓" not in others.nth(i).inner_text())
    name = others.nth(place).locator("bdi").inner_text()
    others.nth(place).press("Enter")
    page.locator("#write-status", has_text=f"Wrote {NUM_WRITTEN}").wait_for()
    after = text_of(page)
    assert after[:4] == before[:4]
    assert after[4] in (name, " ")
    assert after[4] != before[4]
    assert len(after) == 5 + NUM_WRITTEN


def test_the_settings_change_what_is_drawn_beside_them(open_live):
    page = open_live(prompt="a")
    page.get_by_label("Top-k, as a number").fill("2")
    page.locator("#next li", has_text="never").first.wait_for()
    rows = page.locator("#next li").all_inner_texts()
    assert [("never" in row) for row in rows] == [False, False] + [True] * (len(rows) - 2)


def test_what_is_typed_is_explained_at_once(open_live):
    page = open_live(prompt="a")
    page.fill("#typed", "")
    page.locator("#explained").wait_for(state="hidden")
    page.locator("#typed").press_sequentially("be&")
    page.locator("#unit-2").wait_for()
    assert text_of(page, "text") == [*"be&"]
    assert loss_of(page).startswith("Loss: ")
    assert page.locator("#lens tbody tr").count() == 3  # the embedding and two blocks
    assert page.locator("#lens thead th").count() == 1 + 3


def test_at_first_a_short_prompt_is_explained_with_what_the_model_writes_on(open_live):
    page = open_live(prompt="a")
    assert page.input_value("#typed").startswith("a")
    assert len(page.input_value("#typed")) == 61  # what the model can read
    assert "60 characters" in page.inner_text("#opening")
    page.fill("#typed", "ab")
    page.locator("#opening").wait_for(state="hidden")


def test_comparing_texts_does_not_end_the_writing(open_live):
    page = open_live(prompt="a")
    page.fill("#count", "500")
    page.click("#write-on")
    page.get_by_label("block 1, head 2 on", exact=True).click()
    page.locator("#write-status", has_text="Wrote 500").wait_for()
    page.locator("#text-off", has_text=re.compile(".")).wait_for()


def test_switching_a_head_or_a_block_off_changes_the_loss_and_back_on_restores_it(open_live):
    page = open_live()
    losses = [loss_of(page)]
    for name in ("block 1, head 2 on", "block 2 on"):
        page.get_by_label(name, exact=True).click()
        wait_for_change(page, "#loss", losses[-1])
        losses.append(loss_of(page))
    assert len(set(losses)) == 3
    assert "with everything on" in losses[-1]
    page.select_option("#color-by", "change")
    assert "Change of surprise" in page.inner_text("#legend-title")
    page.click("#all-on")
    wait_for_change(page, "#loss", losses[-1])
    assert loss_of(page) == losses[0]


def test_unknown_characters_and_a_long_prompt_are_told(open_live):
    page = open_live(prompt="a")
    page.fill("#prompt", "a" * 70 + "Ж<b>Ж")
    remarks = page.locator("#prompt-remarks p")
    page.locator("#prompt-remarks", has_text="window").wait_for()
    assert remarks.count() == 2
    assert "never saw “Ж”" in remarks.first.inner_text()
    assert "last 61" in remarks.last.inner_text()
    page.locator("#written .window").wait_for()
    assert page.get_attribute("#written .window", "id") == f"written-unit-{70 + 3 - 61}"


def test_hostile_texts_are_shown_as_text(open_live):
    page = open_live()
    page.fill("#typed", HOSTILE)
    page.locator(f"#unit-{len(HOSTILE)}").wait_for(state="detached")
    units = [*HOSTILE]
    shown = {"\n": "↵", "\u2028": "U+2028", "\u0301": "◌\u0301"}
    for name in ("written", "text"):
        assert text_of(page, name) == [shown.get(unit, unit) for unit in units]
    assert page.locator("main script, main b").count() == 0
    assert page.input_value("#typed") == HOSTILE


def test_a_slider_goes_through_the_training(open_live, snapshots):
    page = open_live(snapshots=snapshots)
    texts, places = [], []
    for moment, step in [("0", 3), ("1", 31)]:
        page.fill("#moment", moment)
        page.locator("#moment-name", has_text=f"Step {step}:").wait_for()
        page.locator("#learned-loss", has_text=f"at step {step}:").wait_for()  # set last
        texts.append(page.inner_text("#learned-loss") + page.inner_text("#learned-text"))
        places.append(page.get_attribute("#curve .marker circle", "cx"))
    assert texts[0] != texts[1]
    assert float(places[0]) < float(places[1])


def test_the_page_tells_its_data_and_the_command_that_trained_it(open_html, saved):
    config = {"data_path": "/home/someone/book.txt", "batch_size": 7}
    page = open_html(live_page(replace(saved, config=config, corpus={"num_characters": 1234})))
    page.wait_for_selector("body[data-ready]")
    assert "on book.txt (1,230 characters)" in page.inner_text("#facts")
    assert page.inner_text("#command").startswith("python train.py --data_path book.txt")
    assert page.locator("#training").is_visible()


def test_without_snapshots_the_page_says_how_to_get_them(open_live):
    page = open_live()
    assert "--snapshots" in page.inner_text("#learned")
    assert page.locator("#moment").count() == 0


@pytest.mark.parametrize("part", ["weights", "engine"])
def test_a_damaged_file_says_so(open_html, saved, part):
    html = live_page(saved, prompt="a")
    start = html.index(f'id="{part}">') + 400
    damaged = html[:start] + ("A" if html[start] != "A" else "B") + html[start + 1 :]
    page = open_html(damaged)
    page.locator("#fault", has_text="is damaged").wait_for()
    assert page.locator("main").count() == 0


def test_a_source_becomes_a_target(open_html, make_encoder_decoder, tmp_path):
    phones = "P T K AA0 AA1 IY0 IY1 S Z N".split()
    tokenizer = PairTokenizer(
        UnitTokenizer("characters", [*"abcdefghijklmn"]), UnitTokenizer("words", phones)
    )
    model = make_encoder_decoder()
    path = tmp_path / "model.safetensors"
    saved = SavedModel(path, model, tokenizer, model.architecture, {}, {}, {})
    page = open_html(live_page(saved, prompt="acne"))
    page.wait_for_selector("body[data-ready]")
    assert page.locator("#source .unit").all_inner_texts() == [*"acne"]
    assert page.locator("#text .unit").count() > 0
    assert page.locator("#write").count() == 0
    page.fill("#num-beams", "3")
    page.locator("#beams li").nth(2).wait_for()


@pytest.mark.parametrize("width", [360, 1200])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_and_nothing_is_cut_off(open_live, snapshots, scheme, width):
    """axe-core 4.12.1: the rules of WCAG 2.2, A and AA, and its best practices."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = open_live(
        snapshots=snapshots, color_scheme=scheme, viewport={"width": width, "height": 900}
    )
    write(page)
    page.click("#written-unit-3")
    page.get_by_label("block 1, head 2 on", exact=True).click()
    page.locator("#switching").wait_for()
    found = axe.Axe().run(page).response["violations"]
    assert [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_tab_key_reaches_every_control_and_leaves_the_page(open_live):
    page = open_live()
    kinds = ", ".join(f"main {kind}:visible" for kind in ("button", "input", "select", "textarea"))
    controls = page.locator(kinds)
    names = set(controls.evaluate_all("all => all.filter(one => !one.disabled).map(one => one.id)"))
    reached = set()
    for _ in range(150):
        page.keyboard.press("Tab")
        here = page.evaluate("document.activeElement.id")
        if page.evaluate("document.activeElement === document.body"):
            break
        reached.add(here)
        style = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert style != "none"
    else:
        pytest.fail("the focus does not leave the page")
    assert names - {""} <= reached
