"""Lines and characters go or stay by how often they stand in the whole corpus."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transformer.data.sources.cleaning import (
    added,
    cleaning_of,
    count_lines,
    count_symbols,
    line_hashes,
    replacements,
)

TEXTS = st.lists(st.text(st.sampled_from("abé\n \u2003x"), max_size=30), min_size=1, max_size=9)


def cleaned(texts, drop_lines_seen=None, replace_rare=None):
    cleaning = cleaning_of(texts, drop_lines_seen=drop_lines_seen, replace_rare=replace_rare)
    return [cleaning(text) for text in texts], cleaning


def test_a_line_goes_from_all_texts_if_they_have_it_that_often_together():
    texts = ["Head\none\nPage 1\n", "  Head \ntwo\nPage 2", "three\nHead"]
    assert cleaned(texts, 3)[0] == ["one\nPage 1\n", "two\nPage 2", "three\n"]
    assert cleaned(texts, 4)[0] == texts


@given(TEXTS, st.integers(2, 5))
def test_the_lines_that_stay_are_those_seen_fewer_times_and_empty_ones(texts, times):
    lines = [line for text in texts for line in text.split("\n")]
    counts = Counter(line.strip() for line in lines)
    kept = [line for line in lines if not line.strip() or counts[line.strip()] < times]
    found = [line for text in cleaned(texts, times)[0] for line in text.split("\n")]
    assert list(filter(str.strip, found)) == list(filter(str.strip, kept))


@given(TEXTS)
def test_counts_of_parts_add_up_to_those_of_the_whole(texts):
    whole, parts = count_lines(texts), added([count_lines([text]) for text in texts])
    assert np.array_equal(whole.hashes, parts.hashes)
    assert np.array_equal(whole.numbers, parts.numbers)
    assert count_symbols(texts) == Counter(ord(symbol) for text in texts for symbol in text)


def test_equal_lines_alone_have_equal_hashes():
    lines = [f"line {number}" for number in range(10_000)]
    hashes = line_hashes(lines)
    assert len(set(hashes.tolist())) == len(lines)
    assert np.array_equal(hashes, line_hashes(lines))


@pytest.mark.parametrize(
    ("rare", "plain"),
    [
        ("é", "e"),
        ("\u0301", ""),
        ("\u200b", ""),
        ("ﬁ", "fi"),
        ("Ａ", "A"),
        ("\u2019", "'"),
        ("漢", "\ufffd"),
        ("ü", "\ufffd"),
    ],
)
def test_a_rare_character_becomes_its_plain_form_if_that_is_frequent(rare, plain):
    text = "efiA'\n " * 10 + rare
    assert cleaned([text], replace_rare=10)[0] == [text[:-1] + plain]


def test_white_space_and_bytes_that_are_no_utf8_are_never_replaced():
    counts = {ord("\n"): 1, ord("\t"): 1, 0xDCFF: 1, ord("x"): 1}
    assert replacements(counts, 10) == {ord("x"): "\ufffd"}


def test_what_was_changed_is_said():
    _, cleaning = cleaned(["a\na\né"], 2, 2)
    assert cleaning.note == ", 1 recurring line left out, 1 rare character replaced"
    assert cleaned(["abc"], 2)[1].note == ""
