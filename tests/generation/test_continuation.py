"""New text as it grows: stop texts, what may be shown, what belongs together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transformer.generation.continuation import Continuation


def grow(text, stop, row=None):
    """Character by character; gives the row and what was shown after each."""
    row = row or Continuation("", [], stop)
    shown = []
    for token, character in enumerate(text):
        row.add(token, character, -float(token))
        shown.append(row.take())
    return row, shown


@pytest.mark.parametrize(
    ("text", "stop", "kept"),
    [
        ("aaab and on", ["aab"], "a"),
        ("ababac and on", ["abac"], "ab"),
        ("one two", ["two"], "one "),
        ("one two", ["three"], "one two"),
        ("one two", ["two", "one"], ""),
        ("a\nb\n\nc", ["\n\n"], "a\nb"),
        ("xyz", ["yz", "xyz"], ""),
        ("xyz", ["z", "y"], "x"),
        ("naïve 🎭 end", ["🎭"], "naïve "),
    ],
)
def test_text_ends_before_the_first_stop_text(text, stop, kept):
    row, shown = grow(text, stop)
    assert row.text == kept
    assert "".join(shown) + row.take(final=True) == kept
    assert row.done == (kept != text)


def test_what_could_become_a_stop_text_is_held_back_until_it_is_decided():
    _, shown = grow("aaxaab", ["aab"])
    assert shown == ["", "", "aax", "", "", ""]


def test_what_was_held_back_is_shown_at_the_end():
    row, shown = grow("one tw", ["two"])
    assert "".join(shown) == "one "
    assert row.take(final=True) == "tw"
    assert row.take(final=True) == ""


def test_tokens_and_log_probabilities_are_those_of_the_text():
    row, _ = grow("abcSTOPdef", ["STOP"])
    assert (row.tokens, row.log_probabilities) == ([0, 1, 2], [0.0, -1.0, -2.0])


def test_a_stop_text_within_one_piece_cuts_it():
    """As a tokenizer of longer pieces gives them: a piece that is cut leaves its token out."""
    row = Continuation("", [], ["b"])
    row.add(5, "xy")
    row.add(6, "abc")
    assert (row.text, row.tokens, row.done) == ("xya", [5], True)


def test_a_stop_text_that_begins_in_the_prompt_does_not_count():
    row, _ = grow("b and on", ["ab"], Continuation("a", [0], ["ab"]))
    assert row.text == "b and on"


def test_an_empty_stop_text_is_refused():
    with pytest.raises(ValueError, match="at least one character"):
        Continuation("", [], ["end", ""])


@given(st.text("ab", max_size=30), st.lists(st.text("ab", min_size=1, max_size=4), max_size=3))
def test_the_text_is_what_a_search_of_the_whole_would_leave(text, stop):
    """Up to the first end of a stop text, before the earliest start of those that end there."""
    ends = {at: s for s in stop for at in [text.find(s)] if at >= 0}
    expected = text
    if ends:
        first_end = min(at + len(s) for at, s in ((text.find(s), s) for s in stop) if at >= 0)
        seen = text[:first_end]
        expected = text[: min(seen.find(s) for s in stop if s in seen)]
    row, shown = grow(text, stop)
    assert row.text == expected
    assert "".join(shown) + row.take(final=True) == expected


def grow_bytes(parts, stop=(), healed=b""):
    row = Continuation("", [], stop, healed)
    shown = []
    for token, part in enumerate(parts):
        row.add_bytes(token, part, -float(token))
        shown.append(row.take())
    return row, shown


def test_a_character_is_shown_when_its_last_byte_is_there():
    row, shown = grow_bytes([b"a\xe6", b"\xbc", b"\xa2b", b"\xf0\x9f"])
    assert shown == ["a", "", "漢b", ""]
    assert (row.whole_text, row.text) == ("a漢b", "a漢b\ufffd")
    assert row.offsets == [0, 1, 1, 3]
    assert (row.take(final=True), row.take(final=True)) == ("\ufffd", "")


def test_a_stop_text_is_found_across_the_borders_of_tokens_and_bytes():
    row, shown = grow_bytes([b"x", b"\xe6\xbc", b"\xa2y", b"z"], ["漢yz"])
    assert "".join(shown) + row.take(final=True) == row.text == "x"
    assert (row.tokens, row.offsets, row.log_probabilities) == ([0], [0], [0.0])
    row, _ = grow_bytes([b"ab", b"cST", b"OP\xe6"], ["STOP"])
    assert (row.text, row.tokens) == ("abc", [0])


@given(st.text(max_size=8), st.lists(st.integers(1, 3), min_size=1), st.sampled_from("aé漢🙂"))
def test_however_a_text_is_cut_into_tokens_what_is_written_is_the_same(text, cuts, stop):
    data, parts = text.encode("utf-8"), []
    while data:
        size = cuts[len(parts) % len(cuts)]
        parts.append(data[:size])
        data = data[size:]
    row, shown = grow_bytes(parts, [stop])
    assert row.text == text.split(stop)[0]
    assert "".join(shown) + row.take(final=True) == row.text


def test_the_bytes_that_a_healed_prompt_has_already_are_not_written_again():
    row, shown = grow_bytes([b" t", b"he cat", b"s"], healed=b" the")
    assert (row.healed, row.text, shown) == (b"", " cats", ["", " cat", "s"])
    assert row.offsets == [0, 0, 4]


def test_nothing_follows_an_end():
    row, _ = grow_bytes([b"a"])
    row.end()
    row.add_bytes(7, b"b")
    assert (row.text, row.tokens, row.done) == ("a", [0], True)
