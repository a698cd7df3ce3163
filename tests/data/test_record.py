"""What a model's file records of its text, and how far another text is recognized by it."""

import hashlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transformer.data.record import (
    NUM_PIECES,
    describe_change,
    describe_inside,
    describe_shared,
    find_shared,
    record_of,
)

TOTAL, NUM_TRAIN = 1009, 907  # primes, so that no piece ends with a split
TEXT = "".join(random.Random(0).choices("abcdefgh \n", k=TOTAL))
RECORD = {"sha256": hashlib.sha256(TEXT.encode()).hexdigest()} | record_of(TEXT, NUM_TRAIN)
PIECE = -(-TOTAL // NUM_PIECES)
OLD = {"sha256": RECORD["sha256"], "num_tokens": TOTAL}  # of runs that recorded no pieces
OTHER = "".join(random.Random(1).choices("ijklmnop", k=313))
MANY = settings(max_examples=100, deadline=None, derandomize=True, database=None)


def test_the_record_is_small_and_says_which_characters_trained():
    assert (RECORD["num_characters"], RECORD["num_train_characters"]) == (TOTAL, NUM_TRAIN)
    assert len(RECORD["pieces"]) < 1000
    assert "num_train_characters" not in record_of(TEXT)  # of pairs it is not the first ones


@pytest.mark.parametrize("record", [RECORD, OLD])
def test_a_text_that_begins_or_ends_with_the_whole_is_recognized(record):
    assert find_shared(TEXT + OTHER, record)[:3] == (TOTAL, 0, TOTAL)
    assert find_shared(OTHER + TEXT, record)[:3] == (0, TOTAL, TOTAL)
    assert find_shared(OTHER, record)[:2] == (0, 0)


def test_of_the_whole_text_the_training_split_is_what_trained():
    assert find_shared(TEXT + OTHER, RECORD).num_trained == NUM_TRAIN
    assert find_shared(OTHER + TEXT, RECORD).num_trained == NUM_TRAIN


@MANY
@given(cut=st.integers(0, TOTAL - 1))
def test_a_text_that_was_cut_short_is_recognized_up_to_a_piece(cut):
    head, tail, _, num_trained = find_shared(TEXT[:cut], RECORD)
    assert cut - PIECE < head <= cut
    assert tail == 0
    assert num_trained == min(head, NUM_TRAIN)


@MANY
@given(at=st.integers(0, TOTAL - 1), added=st.integers(1, 40))
def test_of_an_edited_text_no_more_than_is_the_same_is_recognized(at, added):
    head, tail, _, num_trained = find_shared(TEXT[:at] + OTHER[:added] + TEXT[at:], RECORD)
    assert at - PIECE < head <= at
    assert TOTAL - at - PIECE < tail <= TOTAL - at
    assert num_trained == min(head, NUM_TRAIN) + max(0, tail - (TOTAL - NUM_TRAIN))


@pytest.mark.parametrize(
    "record",
    [
        *({}, {"num_tokens": 0, "sha256": 5}, {"num_characters": "many", "pieces": "00"}),
        {"num_characters": 7, "num_train_characters": "all", "pieces": [1]},
        {"num_characters": 10**15, "num_train_characters": -5, "pieces": "00"},
    ],
)
def test_a_record_that_says_nothing_recognizes_nothing(record):
    assert find_shared(TEXT, record)[:2] == (0, 0)
    assert "cannot tell" in describe_shared(TEXT, record)


def test_the_sentences_say_what_is_the_same_and_what_trained():
    assert describe_shared(TEXT + OTHER, RECORD) == (
        "its first 1,009 characters are the whole of that text, and 313 more follow; 907 of these "
        "trained the model"
    )
    assert describe_shared(OTHER + TEXT, OLD) == (
        "its last 1,009 characters are the whole of that text, and 313 more stand before them"
    )
    assert describe_shared(TEXT[:-1], RECORD) == (
        "at least its first 1,003 characters are the same as in that text; 907 of these trained "
        "the model"
    )
    edited = TEXT[:500] + OTHER + TEXT[500:]
    assert describe_shared(edited, RECORD).startswith("at least its first 496 and its last 497 ")


def test_a_change_is_told_with_lengths_and_digests_before_and_now():
    now = hashlib.sha256((TEXT + "!").encode()).hexdigest()
    assert describe_change(TEXT + "!", RECORD).startswith(
        f"the training text had 1,009 characters, sha256 {RECORD['sha256'][:12]}, "
        f"this text has 1,010 characters, sha256 {now[:12]}; its first 1,009 characters are the "
        "whole of that text, and 1 more"
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (OTHER + TEXT + OTHER, "characters 314 to 1,322 are the whole of that text; the first 907"),
        (TEXT[100:200], "it is characters 101 to 200 of that text; 100 of these trained"),
        (TEXT[880:950], "it is characters 881 to 950 of that text; 27 of these trained"),
        (TEXT[950:], "it is characters 951 to 1,009 of that text; 0 of these trained"),
    ],
)
def test_with_the_own_text_at_hand_one_within_the_other_is_told_exactly(text, words):
    assert words in (describe_inside(text, TEXT, NUM_TRAIN) or "")
    assert describe_inside(TEXT[:99] + "!", TEXT, NUM_TRAIN) is None
