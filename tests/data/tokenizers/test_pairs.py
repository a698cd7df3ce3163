"""Source and target <-> ids: units, special ids, what is unknown, and the state."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.tokenizers.hostile import TEXTS
from transformer.data.tokenizers.bpe import BpeTokenizer
from transformer.data.tokenizers.characters import CharacterTokenizer
from transformer.data.tokenizers.pairs import PairTokenizer, PieceTokenizer, UnitTokenizer
from transformer.data.tokenizers.registry import tokenizer_from_state
from transformer.special_ids import BEGIN, END, NUM_SPECIALS, PADDING
from transformer.system.errors import UserError

MANY = settings(max_examples=100, deadline=None, derandomize=True, database=None)
WORDS = st.lists(st.text(st.characters(exclude_categories=["Z", "C"]), min_size=1), min_size=1)
LETTERS = UnitTokenizer("characters", "abc")
PHONES = UnitTokenizer("words", ["AH0", "B", "K", "S", "T"])


@MANY
@given(text=st.text(min_size=1))
def test_decoding_undoes_encoding_of_characters(text):
    tokenizer = UnitTokenizer("characters", sorted(set(text)))
    ids = tokenizer.encode(text)
    assert ids.dtype == np.int32
    assert (len(ids), tokenizer.decode(ids)) == (len(text), text)


@MANY
@given(words=WORDS)
def test_decoding_undoes_encoding_of_words(words):
    tokenizer = UnitTokenizer("words", sorted(set(words)))
    ids = tokenizer.encode("\u2003 ".join(words) + " ")
    assert (len(ids), tokenizer.decode(ids)) == (len(words), " ".join(words))
    assert tokenizer.split(tokenizer.join(words)) == words


def test_ids_of_units_follow_those_of_padding_begin_and_end():
    assert (PADDING, BEGIN, END, NUM_SPECIALS) == (0, 1, 2, 3)
    assert LETTERS.encode("cab").tolist() == [5, 3, 4]
    assert PHONES.encode("T AH0").tolist() == [7, 3]
    assert (LETTERS.vocab_size, PHONES.vocab_size) == (6, 8)


def test_special_ids_are_left_out_of_the_text():
    assert LETTERS.decode([BEGIN, 5, 3, END, PADDING, PADDING]) == "ca"
    assert PHONES.decode([BEGIN, 4, 3, END]) == "B AH0"
    assert PHONES.decode([]) == ""


def test_empty_text_has_no_ids():
    assert LETTERS.encode("").tolist() == PHONES.encode("  ").tolist() == []


def test_unknown_character_is_an_error_with_its_unicode_name_as_for_texts():
    messages = []
    for tokenizer in (LETTERS, CharacterTokenizer("abc")):
        with pytest.raises(UserError, match=r"^the model never saw 'é' \(LATIN SMALL") as caught:
            tokenizer.encode("abécé")
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_unknown_words_are_quoted_in_the_error():
    with pytest.raises(UserError, match=r"^the model never saw 2 of the words, 'AH1', 'ZZ': rem"):
        PHONES.encode("ZZ AH0 AH1 ZZ")


def test_unknown_units_can_be_dropped_and_counted():
    ids, num_dropped = PHONES.encode_known("ZZ AH0 AH1 T")
    assert (PHONES.decode(ids), num_dropped) == ("AH0 T", 2)
    assert LETTERS.encode_known("xyz")[0].tolist() == []


def test_sizes_are_those_of_both_vocabularies_under_the_models_names():
    assert PairTokenizer(LETTERS, PHONES).sizes == {"vocab_size": 8, "source_vocab_size": 6}
    assert CharacterTokenizer("abc").sizes == {"vocab_size": 3}


def test_state_survives_json():
    state = json.loads(json.dumps(PairTokenizer(LETTERS, PHONES).state))
    tokenizer = tokenizer_from_state(state)
    assert isinstance(tokenizer, PairTokenizer)
    assert tokenizer.state == state
    assert state["source"] == {
        "kind": "units",
        "units": "characters",
        "vocabulary": ["a", "b", "c"],
    }
    assert tokenizer.source.encode("cab").tolist() == [5, 3, 4]
    assert tokenizer.target.encode("T AH0").tolist() == [7, 3]


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "character"},
        {"units": None},
        {"units": ["words"]},
        {"vocabulary": None},
        {"vocabulary": "abc"},
        {"vocabulary": ["a", 1]},
    ],
)
def test_state_of_another_type_is_an_error(change):
    with pytest.raises(ValueError, match="not the state of a tokenizer of units"):
        UnitTokenizer.from_state(LETTERS.state | change)


@pytest.mark.parametrize(
    ("units", "vocabulary"),
    [
        ("characters", []),
        ("characters", ["a", "a"]),
        ("characters", ["a", "bc"]),
        ("characters", [""]),
        ("words", ["a b"]),
        ("words", ["a\n"]),
        ("words", [""]),
    ],
)
def test_vocabulary_that_is_empty_doubled_or_of_no_single_units_is_an_error(units, vocabulary):
    state = {"kind": "units", "units": units, "vocabulary": vocabulary}
    with pytest.raises(ValueError, match=f"one or more distinct {units}"):
        UnitTokenizer.from_state(state)


def test_unknown_units_name_is_an_error_that_lists_ours():
    with pytest.raises(ValueError, match="units are characters or words, got 'bytes'"):
        UnitTokenizer.from_state(LETTERS.state | {"units": "bytes"})


@pytest.mark.parametrize("side", [None, [], "abc", {}])
def test_state_of_pairs_without_a_side_is_an_error(side: Any):
    state = PairTokenizer(LETTERS, PHONES).state | {"target": side}
    with pytest.raises(ValueError, match="not the state of a tokenizer of units"):
        tokenizer_from_state(state)


def test_state_of_another_kind_is_no_state_of_pairs():
    with pytest.raises(ValueError, match="not the state of a tokenizer of pairs"):
        PairTokenizer.from_state(LETTERS.state)


@given(text=TEXTS)
def test_pieces_of_a_side_give_back_any_text_beside_the_special_ids(text):
    side = pieces()
    ids = side.encode(text)
    assert ids.dtype == np.int32
    assert (ids >= NUM_SPECIALS).all()
    assert side.decode([BEGIN, *ids, END, PADDING]) == text
    assert len(side.split(text)) == len(ids)
    assert side.encode_known(text)[1] == 0


_PIECES: list[PieceTokenizer] = []


def pieces() -> PieceTokenizer:
    if not _PIECES:
        _PIECES.append(PieceTokenizer(BpeTokenizer.from_text("the cat, the mat\n" * 9)))
    return _PIECES[0]


def test_the_state_of_pieces_survives_json_on_either_side():
    pairs = PairTokenizer(pieces(), PHONES)
    again = tokenizer_from_state(json.loads(json.dumps(pairs.state)))
    assert isinstance(again, PairTokenizer)
    assert again.state == pairs.state
    assert again.sizes == {"vocab_size": 8, "source_vocab_size": 3 + len(pieces().vocabulary)}
    with pytest.raises(ValueError, match="not the state of a tokenizer of pieces"):
        tokenizer_from_state(pairs.state | {"target": {"kind": "pieces"}})
