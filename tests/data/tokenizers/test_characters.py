"""Text <-> ids: nothing is lost, nothing is unnamed, and it is fast."""

import json
import time

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from transformer.data.tokenizers import characters
from transformer.data.tokenizers.characters import CharacterTokenizer
from transformer.data.tokenizers.registry import tokenizer_from_state
from transformer.system.errors import UserError

# Any code point, lone surrogates too; and pieces that are several code points but one sight.
CHARACTERS = st.characters() | st.characters(categories=["Cs"])
PIECES = st.sampled_from(
    ["e\u0301", "👩‍👩‍👧", "🏳️‍🌈", "한", "\ufeff", "\r\n", "\x00", "\u2028", "\ud83d\ude00"]
)
TEXTS = st.text(CHARACTERS, min_size=1) | st.lists(PIECES, min_size=1).map("".join)
MANY = settings(max_examples=100, deadline=None, derandomize=True, database=None)
ABC = CharacterTokenizer("abc")


@MANY
@given(text=TEXTS)
@example(text="\U0010ffff\x00")
def test_decoding_undoes_encoding(text):
    tokenizer = CharacterTokenizer.from_text(text)
    ids = tokenizer.encode(text)
    assert ids.dtype == np.int32
    assert tokenizer.decode(ids) == text
    assert tokenizer.decode(ids.tolist()) == text


@MANY
@given(text=TEXTS)
def test_each_code_point_is_one_id_and_ids_follow_the_order_of_code_points(text):
    tokenizer = CharacterTokenizer.from_text(text)
    assert tokenizer.encode(text).tolist() == [sorted(set(text)).index(c) for c in text]
    assert tokenizer.vocab_size == len(set(text))


@pytest.mark.parametrize("block", [1, 3, 1000])
@pytest.mark.parametrize("last", ["\xff", "\u0100", "字"])
def test_blocks_with_and_without_characters_beyond_latin_1_have_the_same_ids(
    monkeypatch, block, last
):
    monkeypatch.setattr(characters, "_BLOCK", block)
    vocabulary = "".join(map(chr, range(1, 256))) + (last if last > "\xff" else "")
    tokenizer = CharacterTokenizer(vocabulary)
    text = vocabulary[::-1] + last + vocabulary
    wanted = [vocabulary.index(character) for character in text]
    assert tokenizer.encode(text).tolist() == wanted
    assert tokenizer.encode_as(text, "u1").tolist() == wanted
    for unknown in ("\0", "語"):
        with pytest.raises(UserError, match="never saw"):
            tokenizer.encode_as(text + unknown + text, "u1")
        assert tokenizer.encode_known(text + unknown + text)[0].tolist() == wanted + wanted


def test_empty_text_has_no_ids():
    assert ABC.encode("").tolist() == []
    assert ABC.decode([]) == ""


def test_unknown_character_is_an_error_with_its_unicode_name():
    match = r"^the model never saw 'é' \(LATIN SMALL LETTER E WITH ACUTE\): .* `skip_unknown=True`"
    with pytest.raises(UserError, match=match):
        ABC.encode("abécé")


@pytest.mark.parametrize(
    ("character", "name"),
    [
        ("d", r"'d' \(LATIN SMALL LETTER D\)"),  # just past the vocabulary's last
        ("\u0430", r"'а' \(CYRILLIC SMALL LETTER A\)"),
        ("\U0010ffff", r"'\\U0010ffff' \(U\+10FFFF\)"),
        ("\x00", r"'\\x00' \(U\+0000\)"),
        ("\ud800", r"'\\ud800' \(U\+D800\)"),
        ("😀", r"'😀' \(GRINNING FACE\)"),
    ],
)
def test_unknown_character_far_from_the_vocabulary_is_named_too(character, name):
    with pytest.raises(UserError, match=name):
        ABC.encode(f"a{character}b")


def test_many_unknown_characters_are_counted_and_the_first_eight_named():
    with pytest.raises(UserError, match=r"never saw 10 of the characters, '0' \(DIGIT ZERO\), '1'"):
        ABC.encode("9876543210aaa")
    with pytest.raises(UserError, match=r"'7' \(DIGIT SEVEN\) and 2 more: "):
        ABC.encode("9876543210")


def test_unknown_characters_can_be_dropped_and_counted():
    ids, num_dropped = ABC.encode_known("xaybbz\U0010ffffc")
    assert (ABC.decode(ids), num_dropped) == ("abbc", 4)
    assert ABC.encode_known("xyz")[0].tolist() == []


@MANY
@given(text=st.text(min_size=1))  # a corpus is UTF-8, which has no lone surrogates
def test_state_survives_json(text):
    tokenizer = CharacterTokenizer.from_text(text)
    state = json.loads(json.dumps(tokenizer.state))
    assert state == {"kind": "character", "vocabulary": "".join(sorted(set(text)))}
    assert tokenizer_from_state(state).encode(text).tolist() == tokenizer.encode(text).tolist()


@pytest.mark.parametrize("state", [None, [], "abc", {}, {"kind": "uni"}, {"kind": ["character"]}])
def test_state_of_another_tokenizer_is_an_error_that_lists_ours(state):
    with pytest.raises(ValueError, match="the tokenizer is unknown; known are character"):
        tokenizer_from_state(state)


@pytest.mark.parametrize("state", [{}, {"vocabulary": None}, {"vocabulary": ["a", "b"]}])
def test_state_without_a_vocabulary_is_an_error(state):
    with pytest.raises(ValueError, match="not the state of a character tokenizer"):
        tokenizer_from_state({"kind": "character"} | state)


@MANY
@given(text=TEXTS, more=TEXTS)
def test_a_tokenizer_that_has_grown_keeps_all_ids(text, more):
    tokenizer = CharacterTokenizer.from_text(text)
    grown = tokenizer.grown(more)
    assert grown.encode(text).tolist() == tokenizer.encode(text).tolist()
    assert grown.decode(grown.encode(more + text)) == more + text
    assert grown.vocab_size == len(set(more + text))
    assert tokenizer_from_state(grown.state).encode(more).tolist() == grown.encode(more).tolist()
    assert grown.grown(text + more) is grown


@pytest.mark.parametrize("vocabulary", ["", "aa", "abb"])
def test_vocabulary_that_is_empty_or_doubled_is_an_error(vocabulary):
    with pytest.raises(ValueError, match="one or more distinct characters"):
        tokenizer_from_state({"kind": "character", "vocabulary": vocabulary})


def test_encoding_and_decoding_run_at_50_megabytes_a_second_or_more():
    """A loop over characters would not; by the processor's time and the best of 7 repeats."""
    text = "".join(map(chr, range(32, 97))) * 50_000  # 3.25 MB, 65 symbols
    tokenizer = CharacterTokenizer.from_text(text)
    ids = tokenizer.encode(text)
    for work in (lambda: tokenizer.encode(text), lambda: tokenizer.decode(ids)):
        seconds = []
        for _ in range(7):
            started_at = time.process_time()
            work()
            seconds.append(time.process_time() - started_at)
        assert len(text) / min(seconds) >= 50e6
