"""Copied passages are those that a naive search finds, for any text, corpus and length."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transformer.data.placed_texts import PlacedText
from transformer.evaluation.copying import search
from transformer.evaluation.copying.search import find_copied


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
