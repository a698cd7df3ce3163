"""Copied passages are those that a naive search finds, for any text, corpus and length."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transformer.data.placed_texts import PlacedText
from transformer.evaluation.copying import search
from transformer.evaluation.copying.search import Passage, Place, find_copied, spans


def naive(text: str, documents: list[str], least: int) -> list[tuple[int, int]]:
    """The start and length of each match that no longer one contains."""
    found, farthest = [], 0
    for start in range(len(text)):
        length = max(
            (
                n
                for n in range(len(text) - start + 1)
                for one in documents
                if text[start:][:n] in one
            ),
            default=0,
        )
        if length >= least and start + length > farthest:
            found.append((start, length))
        farthest = max(farthest, start + length)
    return found


def small_blocks(monkeypatch: pytest.MonkeyPatch, at_once: int, block: int) -> None:
    monkeypatch.setattr(search, "_AT_ONCE", at_once)
    monkeypatch.setattr(search, "_BLOCK", block)


some_text = st.text("ab\n", max_size=40) | st.text("abcdefg\u00e9\u6f22", max_size=40)


@pytest.mark.parametrize(("at_once", "block"), [(1 << 20, 1 << 15), (7, 3), (1, 1)])
@given(
    texts=st.lists(some_text, max_size=3),
    documents=st.lists(some_text, max_size=4),
    least=st.integers(1, 9),
)
def test_passages_are_those_of_a_naive_search(at_once, block, texts, documents, least):
    with pytest.MonkeyPatch.context() as patch:
        small_blocks(patch, at_once, block)
        found = find_copied(texts, map(PlacedText, documents), least)
    for text, passages in zip(texts, found, strict=True):
        wanted = naive(text, documents, least)
        assert [(one.start, one.length) for one in passages] == wanted


def test_each_planted_copy_is_found_with_its_line_and_nothing_else():
    chance = random.Random(0)
    documents = [
        "\n".join("".join(chance.choices("abcde \u00e9", k=67)) for _ in range(50))
        for _ in range(7)
    ]
    parts, wanted, at = [], [], 0
    for length in range(30, 301):
        number = chance.randrange(7)
        start = chance.randrange(len(documents[number]) - length)
        parts.append("#" + documents[number][start : start + length] + "#")
        line = 1 + documents[number].count("\n", 0, start)
        wanted.append(Passage(at + 1, length, Place(str(number), "", line)))
        at += length + 2
    sources = [PlacedText(text, str(number)) for number, text in enumerate(documents)]
    assert find_copied(["".join(parts)], sources, 30) == [wanted]


def test_a_document_in_several_texts_is_searched_as_one():
    text = "".join(f"line {n}\n" for n in range(100))
    sources = [PlacedText(text[:300], "a"), PlacedText(text[300:], "a", "", 39, continues=True)]
    assert find_copied(["#" + text[280:350] + "#"], sources, 30) == [
        [Passage(1, 70, Place("a", "", 1 + text.count("\n", 0, 280)))]
    ]
    apart = [sources[0], sources[1]._replace(continues=False)]
    assert [one.length for one in find_copied([text[280:350]], apart, 10)[0]] == [20, 50]


def test_overlapping_passages_are_counted_once():
    place = Place("a", "", 1)
    found = [Passage(0, 5, place), Passage(3, 5, place), Passage(8, 5, place)]
    assert spans(found) == [(0, 8), (8, 13)]
