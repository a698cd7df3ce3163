"""The page of prepare.py: it needs nothing from elsewhere, and takes no file of the user."""

import re

import pytest

import prepare
from transformer.data.built_in.shakespeare import tiny_shakespeare
from transformer.system.errors import UserError


@pytest.fixture
def books(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "books").mkdir()
    text = tiny_shakespeare()[:20_000]
    bad = "<script>alert('\u200b')</script>&amp;"
    (tmp_path / "books" / "a.txt").write_text(text + bad, encoding="utf-8")
    return tmp_path


def page(*flags):
    assert prepare.main(["books", "--plan", "false", *flags]) == 0


def test_the_page_shows_the_text_of_a_corpus_and_runs_none_of_it(books):
    page("--html")
    text = (books / "prepare.html").read_text(encoding="utf-8")
    assert "alert(" in text  # the example of a rare symbol
    assert "<script" not in text
    assert "&lt;/scri" in text
    assert not re.search(r"(src|href)=\"(?!data:)|url\(|https?://", text)
    assert "{{" not in text
    for part in ("invisible characters", "a.txt, line ", "--replace_rare true", "10 k to 30 k"):
        assert part in text


def test_only_a_page_of_its_own_is_replaced(books):
    page("--html")
    page("--html")
    (books / "mine.html").write_text("my page", encoding="utf-8")
    with pytest.raises(
        UserError, match=r"mine.html: this is a file of your own; give another --out"
    ):
        page("--out", "mine.html")
    assert (books / "mine.html").read_text(encoding="utf-8") == "my page"


@pytest.mark.parametrize("place", ["books/p.html", "books/../books/p.html", "books/deeper/p.html"])
def test_no_page_goes_into_the_corpus(books, place):
    with pytest.raises(UserError, match="this is in the corpus"):
        page("--out", place)
    assert sorted(path.name for path in (books / "books").iterdir()) == ["a.txt"]


def test_a_page_has_the_ending_of_one(books):
    with pytest.raises(UserError, match=r"--out must end in \.html, got 'p.txt'"):
        page("--out", "p.txt")
