"""The drawings: legible in light and dark, of nothing but themselves, and shown in the README."""

import re
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import pytest

from transformer.models.parts.attention import MultiHeadAttention
from transformer.models.parts.layers import Block, make_feedforward
from transformer.models.parts.norms import make_norm

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DRAWINGS = sorted((ROOT / "static").iterdir())
NAMESPACE = "http://www.w3.org/2000/svg"
PAGES = {"light": "#ffffff", "dark": "#0d1117"}  # GitHub's backgrounds

each_drawing = pytest.mark.parametrize("path", DRAWINGS, ids=lambda path: path.name)
each_mode = pytest.mark.parametrize("mode", PAGES)


def elements(path, tag):
    return list(ElementTree.parse(path).getroot().iter(f"{{{NAMESPACE}}}{tag}"))


def rules(css):
    found = re.findall(r"([.\w-]+) \{([^{}]*)\}", css)
    return {selector: dict(re.findall(r"([\w-]+): ([^;]+)", body)) for selector, body in found}


def styles(path, mode):
    """Selector -> properties, with those for dark pages over the others where the page is."""
    (style,) = elements(path, "style")
    light, dark = style.text.split("@media (prefers-color-scheme: dark) {")
    found = rules(light)
    if mode == "dark":
        for selector, properties in rules(dark).items():
            found[selector] |= properties
    return found


def text_style(element, found):
    style = dict(found["text"])
    for name in element.get("class", "").split():
        style |= found[f".{name}"]
    return style


def luminance(color):
    """Relative, of sRGB: WCAG 2.1."""
    assert re.fullmatch("#[0-9a-f]{6}", color.strip())
    channels = [int(color.strip()[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_contrast_is_that_of_the_standard():
    """Black on white has 21; the gray that is known as just enough on white has 4.54."""
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.005)


@each_drawing
def test_a_drawing_is_an_svg_with_a_title_and_a_description(path):
    assert path.suffix == ".svg"
    root = ElementTree.parse(path).getroot()
    assert root.tag == f"{{{NAMESPACE}}}svg"
    _, _, *size = (int(number) for number in root.attrib["viewBox"].split())
    assert [int(root.attrib[name]) for name in ("width", "height")] == size
    for tag in ("title", "desc"):
        (element,) = elements(path, tag)
        assert element.text


@each_drawing
def test_a_drawing_refers_to_nothing_outside_itself(path):
    text = path.read_text(encoding="utf-8").replace(f'xmlns="{NAMESPACE}"', "", 1)
    assert re.findall(r"//|href|url\(|@import|@font-face|data:|<script|<image|<foreign", text) == []


@each_drawing
def test_the_readme_shows_a_drawing_with_words_for_those_who_do_not_see_it(path):
    alts = re.findall(rf"^!\[(.+)\]\(static/{re.escape(path.name)}\)$", README, re.MULTILINE)
    assert len(alts) == 1
    assert len(alts[0].split()) > 5


def test_every_drawing_that_the_readme_shows_is_there():
    shown = re.findall(r"\(static/([^)]+)\)", README)
    assert sorted(shown) == [path.name for path in DRAWINGS]


@each_mode
@each_drawing
def test_text_stands_out_from_the_page_and_from_every_box(path, mode):
    """WCAG 2.1, 1.4.3 (AA): at least 4.5."""
    found = styles(path, mode)
    boxes = {f".{box.attrib['class']}" for box in elements(path, "rect")}
    grounds = {PAGES[mode], *(found[box]["fill"] for box in boxes)}
    colors = {text_style(text, found)["fill"] for text in elements(path, "text")}
    assert len(colors) > 1
    assert [(c, g) for c in colors for g in grounds if contrast(c, g) < 4.5] == []


@each_mode
@each_drawing
def test_lines_stand_out_from_the_page(path, mode):
    """WCAG 2.1, 1.4.11 (AA): at least 3."""
    strokes = {rule["stroke"] for rule in styles(path, mode).values() if "stroke" in rule}
    tips = {rule["fill"] for name, rule in styles(path, mode).items() if name.endswith("tip")}
    strokes -= {"none"}
    assert tips
    assert [color for color in strokes | tips if contrast(color, PAGES[mode]) < 3] == []


@each_drawing
def test_no_text_is_below_12_pixels(path):
    found = styles(path, "light")
    for text in elements(path, "text"):
        (size,) = re.findall(r"(\d+)px", text_style(text, found)["font"])
        assert int(size) >= 12


def names(drawing):
    texts = elements(ROOT / "static" / drawing, "text")
    return {text.text for text in texts if text.get("class") == "name"}


def test_the_boxes_of_a_block_and_of_attention_have_the_names_of_the_code():
    attention = MultiHeadAttention(6, 3, causal=True)
    block = Block(attention, make_feedforward("gelu", 6, 7), partial(make_norm, "layernorm", 6))
    assert names("block.svg") == {name for name, _ in block.named_children()} | {"x"}
    layers = {name for name, part in attention.named_children() if list(part.parameters())}
    arrows = {"x", "query", "key", "value"}
    assert names("multi_head_attention.svg") == layers | arrows | {"attention"}
