"""A text is cut into units, each distinct one is encoded once, and nobody can tell from the ids."""

from itertools import chain

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.command_line.conftest import TEXT
from tests.data.tokenizers.hostile import PIECES
from transformer.data.tokenizers import distinct_units, splitting

TEXTS = st.lists(st.sampled_from([*PIECES, " ", "\n", "\r", "a", "B", ",", "'s", "1"])).map("".join)


@given(TEXTS)
def test_units_and_blocks_join_to_the_text(text):
    assert "".join(splitting.units(text)) == text
    assert "".join(splitting.blocks(text, 3)) == text


@given(TEXTS)
def test_units_are_encoded_alone_as_within_the_text(pairs, text):
    alone = [pairs.library.encode(unit).ids for unit in splitting.units(text)]
    assert list(chain(*alone)) == pairs.library.encode(text).ids


def test_the_ids_of_a_long_text_are_the_librarys_for_the_whole_of_it(pairs, monkeypatch):
    """Also where it is cut: at each of many places, in each of many ways."""
    monkeypatch.setattr(distinct_units, "_AT_ONCE", 23)
    monkeypatch.setattr(distinct_units, "_MOST_KNOWN", 7)
    monkeypatch.setattr(distinct_units, "_JOINED", 3)
    text = "".join(PIECES[n * n % len(PIECES)] + " " * (n % 3) for n in range(1500)) + TEXT
    assert pairs.encode(text).tolist() == pairs.library.encode(text, add_special_tokens=False).ids


def test_each_distinct_unit_is_found_once():
    text = "to be, or not to be, that is"
    bounds, numbers = distinct_units.distinct(splitting.code_points(text))
    distinct = [text[start:end] for start, end in bounds]
    assert sorted(distinct) == sorted(set(splitting.units(text)))
    assert [distinct[number] for number in numbers] == splitting.units(text)


def test_units_with_the_same_hash_stay_apart(pairs, monkeypatch):
    monkeypatch.setattr(distinct_units, "_FACTOR", np.uint64(1))  # the hash is the sum of letters
    text = "listen silent enlist. ad bc " * 3
    assert pairs.encode(text).tolist() == pairs.library.encode(text, add_special_tokens=False).ids


def test_a_unit_without_white_space_is_cut_when_it_is_long(monkeypatch):
    monkeypatch.setattr(splitting, "_LONGEST", 4)
    assert splitting.units("ab cdefghij k") == ["ab", " cde", "fghi", "j", " k"]
