"""A tokenizer of bytes reads all that there is, and gives it back."""

import json

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.data.tokenizers.hostile import TEXTS
from tests.marks import first_fast
from transformer.data.tokenizers.base import TextSize
from transformer.data.tokenizers.bytes import ByteTokenizer
from transformer.data.tokenizers.registry import tokenizer_from_state
from transformer.data.tokenizers.utf8 import Joining, as_bytes, count_characters, printable

BYTES = ByteTokenizer()


@pytest.mark.parametrize("number", first_fast([50, 1_000, 10_000], num_long=1))
def test_decoding_undoes_encoding(number):
    @settings(max_examples=number)
    @given(text=TEXTS)
    def law(text):
        ids = BYTES.encode(text)
        assert ids.dtype == np.int32
        assert ids.tolist() == list(text.encode("utf-8"))
        assert BYTES.decode(ids) == text
        assert BYTES.size(ids) == TextSize(len(text), len(text.encode("utf-8")))

    law()


@pytest.mark.parametrize("number", first_fast([100, 1_000, 10_000], num_long=1))
def test_any_bytes_of_a_file_come_back(number):
    @settings(max_examples=number)
    @given(data=st.binary(max_size=40))
    @example(data=b"\xff\x00a\xed\xa0\x80\xf0\x9f\x99")
    def law(data):
        ids = BYTES.encode(data.decode("utf-8", "surrogateescape"))
        assert ids.tolist() == list(data)
        assert BYTES.decode_bytes(ids) == data
        assert BYTES.decode(ids) == data.decode("utf-8", "replace")

    law()


@given(data=st.binary(max_size=40))
def test_a_character_is_counted_where_it_begins_and_other_bytes_have_no_number(data):
    """Python's own decoder knows whether bytes are UTF-8 but for a cut character at an end."""
    number = count_characters(data)
    starts = sum(byte & 0xC0 != 0x80 for byte in data)
    assert number in (None, starts)
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return
    assert number == starts


def test_a_split_character_counts_once_and_is_no_error():
    data = "a漢b".encode()
    for cut in range(len(data) + 1):
        parts = count_characters(data[:cut]), count_characters(data[cut:])
        assert sum(number or 0 for number in parts) == 3, cut
    assert BYTES.size(list(b"\xe6\xff")).num_characters is None


@given(text=st.text(max_size=10), cuts=st.lists(st.integers(1, 3), min_size=1))
def test_a_stream_shows_a_character_with_its_last_byte(text, cuts):
    data, joining, shown = text.encode("utf-8"), Joining(), ""
    while data:
        size = cuts[len(data) % len(cuts)]
        shown += joining.add(data[:size])
        data = data[size:]
        assert text.startswith(shown)
    assert (shown, joining.rest()) == (text, "")


def test_the_rest_of_a_stream_is_shown_as_a_replacement_character():
    joining = Joining()
    assert joining.add(b"a\xe6\xbc") == "a"
    assert joining.rest() == "\ufffd"
    assert joining.add(b"\xa2") == "漢"


def test_the_end_of_a_text_has_an_id_and_no_text():
    assert BYTES.end_of_text == 256 == BYTES.vocab_size - 1
    assert BYTES.encode("<|endoftext|>").tolist() == list(b"<|endoftext|>")
    assert BYTES.decode([97, 256, 98]) == "ab"
    assert BYTES.size([97, 256]) == TextSize(1, 1)
    assert [BYTES.pieces[id_] for id_ in (97, 10, 0xE6, 256)] == [
        "a",
        "\n",
        r"\xe6",
        "<|endoftext|>",
    ]


def test_nothing_is_unknown_also_no_surrogate_without_a_byte():
    assert BYTES.unknown("\ud800") == []
    assert BYTES.drop_unknown("a\ud800") == ("a\ud800", 0)
    assert BYTES.encode("\ud800").tolist() == [0xED, 0xA0, 0x80]
    assert as_bytes("\udce6\udcbc\udca2") == "漢".encode()
    assert printable("a\udcff\udce6\udcbc\udca2") == "a\ufffd漢"


@pytest.mark.parametrize("id_", [-1, 257])
def test_an_id_outside_the_vocabulary_is_an_error(id_):
    with pytest.raises(IndexError):
        BYTES.decode([97, id_])


def test_state_survives_json():
    state = json.loads(json.dumps(BYTES.state))
    assert state == {"kind": "bytes"}
    assert isinstance(tokenizer_from_state(state), ByteTokenizer)
    with pytest.raises(ValueError, match="not the state of a tokenizer of bytes"):
        tokenizer_from_state(state | {"vocabulary": "abc"})
