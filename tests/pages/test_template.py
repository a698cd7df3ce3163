"""Comments and indentation are no part of a page, and nothing else is lost."""

from pathlib import Path

import pytest

import transformer.pages
from transformer.pages import template
from transformer.pages.template import as_json, code, filled

FOLDER = Path(transformer.pages.__file__).parent / "templates"
SCRIPTS = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.js"))
TEXTS = {
    "all.html": "<p>{{a}}</p>\n  <script>{{sub/b.js}}</script>",
    "sub/b.js": '// one\n  const a = 1; // two\n\n/** three\n * four */ b();\n /* 5 */\nc("//");\n',
}


@pytest.fixture
def texts(monkeypatch):
    monkeypatch.setattr(template, "template", TEXTS.__getitem__)


@pytest.mark.usefixtures("texts")
def test_values_and_other_templates_take_the_places_of_their_names():
    page = filled("all.html", {"a": "{{a}} {{sub/b.js}}"})
    script = 'const a = 1; // two\nb();\nc("//");'
    assert page == f"<p>{{{{a}}}} {{{{sub/b.js}}}}</p>\n  <script>{script}</script>"


def test_no_value_ends_a_script_element():
    assert as_json({"a": "</script>&\u2028é"}) == (
        '{"a":"\\u003c/script\\u003e\\u0026\\u2028\\u00e9"}'
    )


@pytest.mark.parametrize("name", SCRIPTS)
def test_no_text_of_a_script_goes_over_several_lines(name):
    """Then a line that looks like a comment is one, and indentation has no meaning."""
    lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.count("`") % 2] == []


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_has_at_most_300_lines(name):
    assert len((FOLDER / name).read_text(encoding="utf-8").splitlines()) <= 300


@pytest.mark.parametrize("name", SCRIPTS)
def test_what_a_page_holds_of_a_script_ends_no_element(name):
    assert "</script" not in code(name)
    assert "<!--" not in code(name)
    assert 0 < len(code(name)) < (FOLDER / name).stat().st_size
