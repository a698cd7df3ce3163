"""The page of explain.py in a real Chromium, from file://: effects of pointer, clicks and keys."""

import re

import pytest
import torch

from transformer.data.tokenizers.characters import CharacterTokenizer
from transformer.data.tokenizers.pairs import PairTokenizer, UnitTokenizer
from transformer.generation.translation import Translator
from transformer.inspection.explanation import explain_text, explain_translation
from transformer.inspection.page import as_page

pytestmark = pytest.mark.browser

TEXT = "To be, </script>\nor not\u2028to <!--"
SELECTED = '#text [aria-selected="true"]'
LEAST_CONTRAST = 4.5  # WCAG 2.2, 1.4.3


@pytest.fixture
def explained(make_gpt):
    tokenizer = CharacterTokenizer.from_text(TEXT)
    model = make_gpt(vocab_size=tokenizer.vocab_size, block_size=len(TEXT))
    return explain_text(model, tokenizer, TEXT)


@pytest.fixture
def explained_pair(make_encoder_decoder):
    phones = "P T K AA0 AA1 IY0 IY1 S Z N".split()
    tokenizer = PairTokenizer(
        UnitTokenizer("characters", [*"abcdefghijklmn"]), UnitTokenizer("words", phones)
    )
    return explain_translation(Translator(make_encoder_decoder(), tokenizer), "acne")


@pytest.fixture
def open_page(open_html):
    """Opens an explanation."""

    def call(explanation, **settings):
        page = open_html(as_page(explanation, model="a model", num_written=3), **settings)
        page.wait_for_selector("body[data-ready]")
        return page

    return call


def shares(page, units="#text .unit"):
    script = "units => units.map(unit => Number(unit.style.getPropertyValue('--share')))"
    return page.eval_on_selector_all(units, script)


def panel(page):
    return page.inner_text("#panel")


def matrix(page):
    """The picture on the canvas as text, to be compared."""
    return page.eval_on_selector("#matrix", "canvas => canvas.toDataURL()")


def percent(share):
    return f"{100 * share:.1f}\u00a0%"


def test_every_unit_is_there_colored_by_its_surprise(open_page, explained):
    page = open_page(explained)
    assert page.locator("#text [role=option]").count() == len(TEXT)
    assert page.locator("#text br").count() == TEXT.count("\n")
    expected = [min((unit.surprise or 0) / 8, 1) for unit in explained.units]
    assert shares(page) == pytest.approx(expected, abs=1e-4)
    assert page.locator("#text .written").count() == 3
    assert f"{explained.mean_surprise:.2f} bits" in page.inner_text("#facts")


def test_pointing_shows_the_alternatives_and_leaving_hides_them(open_page, explained):
    page = open_page(explained)
    before = panel(page)
    page.hover("#unit-3")
    rows = page.locator("#panel .alternatives li").all_inner_texts()
    assert len(rows) == 5
    for row, (_, probability) in zip(rows, explained.units[3].alternatives, strict=True):
        assert percent(probability) in row
    assert f"{explained.units[3].surprise:.2f} bits" in panel(page)
    page.hover("h1")
    assert panel(page) == before
    page.hover("#unit-0")
    assert "nothing is before it" in panel(page)


def test_a_click_colors_the_others_by_what_the_selected_one_reads(open_page, explained):
    page = open_page(explained)
    page.click("#unit-9")
    assert page.get_attribute(SELECTED, "id") == "unit-9"
    average = explained.attention.mean(axis=(0, 1))[9]
    assert shares(page) == pytest.approx(average / average.max(), abs=0.02)  # of 255 levels
    assert percent(average.max()) in page.inner_text("#legend-high")
    page.click("#unit-12")
    assert shares(page)[9] != average[9]
    page.click("#unit-12")
    assert page.locator(SELECTED).count() == 0
    assert "bits" in page.inner_text("#legend-high")


def test_choosing_a_head_changes_the_matrix_and_the_colors(open_page, explained):
    page = open_page(explained)
    page.click("#unit-9")
    pictures, colors = [matrix(page)], [shares(page)]
    page.select_option("#block", label="2")
    pictures.append(matrix(page))
    page.select_option("#head", label="3")
    pictures.append(matrix(page))
    colors.append(shares(page))
    assert len(set(pictures)) == 3
    read = explained.attention[1, 2, 9]
    assert colors[1] == pytest.approx(read / read.max(), abs=0.02)
    assert colors[0] != colors[1]
    assert "Block 2, head 3" in page.inner_text("#matrix-title")


def test_a_cell_of_the_entropies_chooses_its_head(open_page, explained):
    page = open_page(explained)
    cells = page.locator("#entropy button")
    expected = [f"{bits:.2f}" for bits in explained.entropy.flatten()]
    assert cells.all_inner_texts() == expected
    cells.nth(4).click()
    assert (page.input_value("#block"), page.input_value("#head")) == ("1", "1")
    assert cells.nth(4).get_attribute("aria-pressed") == "true"
    cells.nth(4).click()
    assert (page.input_value("#block"), page.input_value("#head")) == ("-1", "-1")


def test_keys_alone_do_what_the_pointer_does(open_page, explained):
    page = open_page(explained)
    page.keyboard.press("Tab")  # the choice of a block
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")

    def focused():
        return page.evaluate("document.activeElement.id")

    assert focused() == "unit-0"
    for key, expected in [
        *(("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("ArrowDown", 18)),
        *(("ArrowUp", 1), ("End", len(TEXT) - 1), ("ArrowRight", len(TEXT) - 1), ("Home", 0)),
    ]:
        page.keyboard.press(key)
        assert focused() == f"unit-{expected}"
    page.keyboard.press("ArrowRight")
    assert f"{explained.units[1].surprise:.2f} bits" in panel(page)
    outline = page.eval_on_selector("#unit-1", "unit => getComputedStyle(unit).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    assert page.get_attribute(SELECTED, "id") == "unit-1"
    page.keyboard.press("Escape")
    assert page.locator(SELECTED).count() == 0
    page.keyboard.press("Space")
    assert page.get_attribute(SELECTED, "id") == "unit-1"
    assert page.locator("#text [tabindex='0']").count() == 1


def test_pointing_at_the_matrix_names_both_and_a_click_selects_the_row(open_page, explained):
    page = open_page(explained)
    place = page.evaluate("started.then(reader => reader.matrix.place)")
    t, s = 9, 3
    middle = {
        "x": place["left"] + (s + 0.5) * place["cell"],
        "y": place["top"] + (t + 0.5) * place["cell"],
    }
    page.hover("#matrix", position=middle)
    share = re.search(r"([\d.]+)\u00a0%", page.inner_text("#map .tip"))
    assert "(10) reads" in page.inner_text("#map .tip")
    assert "(4):" in page.inner_text("#map .tip")
    assert float(share[1]) == pytest.approx(
        100 * explained.attention.mean(axis=(0, 1))[t, s], abs=0.5
    )
    page.click("#matrix", position=middle)
    assert page.get_attribute(SELECTED, "id") == "unit-9"


def luminance(rgb):
    """WCAG 2.2's relative luminance."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def color(text):
    """Red, green, blue from 0 to 1, and the opacity."""
    *rgb, opacity = [*map(float, re.findall(r"[\d.]+", text)), 1.0][:4]
    return [c / 255 for c in rgb], opacity


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("selected", [False, True])
def test_every_text_keeps_its_contrast_in_light_and_dark(open_page, explained, scheme, selected):
    """Of ink on the strongest color over what is behind it, and of softer texts on the paper."""
    page = open_page(explained, color_scheme=scheme)
    if selected:
        page.click("#unit-9")
    color_all = "units => units.forEach((unit, t) => unit.style.setProperty('--share', t % 2))"
    page.eval_on_selector_all("#text .unit", color_all)
    colors = page.evaluate("""() => [".unit", ".lesson", "#facts", "#panel p", "#entropy button",
        "#entropy th", "#legend-high", "select", "dfn"].flatMap(name =>
            [...document.querySelectorAll(name)].map(part => {
                const behind = [];
                for (let here = part; here; here = here.parentElement)
                    behind.unshift(getComputedStyle(here).backgroundColor);
                return [name, getComputedStyle(part).color, behind];
            }))""")
    (paper, _) = color(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert (luminance(paper) > 0.5) == (scheme == "light")
    for name, ink, backgrounds in colors:
        behind = [0.0, 0.0, 0.0]
        for rgb, opacity in map(color, backgrounds):
            behind = [opacity * c + (1 - opacity) * b for c, b in zip(rgb, behind, strict=True)]
        lights = sorted([luminance(color(ink)[0]), luminance(behind)])
        assert (lights[1] + 0.05) / (lights[0] + 0.05) >= LEAST_CONTRAST, (name, ink, backgrounds)


def test_a_pair_colors_the_source_by_what_the_selected_unit_reads(open_page, explained_pair):
    page = open_page(explained_pair)
    assert page.locator("#source .unit").all_inner_texts() == [*"acne"]
    assert page.locator("#text .unit").all_inner_texts() == explained_pair.rows
    page.select_option("#block", label="1")
    page.select_option("#head", label="2")
    page.click("#unit-1")
    read = explained_pair.attention[0, 1, 1]
    assert shares(page, "#source .unit") == pytest.approx(read / read.max(), abs=0.02)
    assert "equation" in page.inner_text("main")


def test_a_model_without_attention_shows_surprise_alone(open_page, explained):
    nothing = torch.zeros(0, 0, len(TEXT), len(TEXT)).numpy()
    page = open_page(type(explained)(explained.units, nothing))
    page.click("#unit-9")
    assert f"{explained.units[9].surprise:.2f} bits" in panel(page)
    assert page.locator("canvas").count() == 0


@pytest.mark.parametrize(
    ("scheme", "width"), [("light", 1200), ("dark", 1200), ("light", 390), ("dark", 390)]
)
def test_nothing_is_cut_off_at_the_width_of_a_screen(open_page, explained, scheme, width, tmp_path):
    page = open_page(explained, color_scheme=scheme, viewport={"width": width, "height": 900})
    page.click("#unit-9")
    assert page.get_attribute(SELECTED, "id") == "unit-9"  # what pointing shows moves nothing
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    path = tmp_path / f"{scheme}-{width}.png"
    page.screenshot(path=path, full_page=True)
    assert path.stat().st_size > 10_000
