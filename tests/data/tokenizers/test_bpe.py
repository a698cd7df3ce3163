"""Byte pairs: nothing is lost, and the ids are the library's."""

import json
import logging
import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import find, given, settings

from tests.command_line.conftest import TEXT
from tests.data.tokenizers.hostile import TEXTS
from tests.marks import first_fast
from transformer.data.tokenizers import bpe_training
from transformer.data.tokenizers.base import TextSize
from transformer.data.tokenizers.bpe import BpeTokenizer
from transformer.data.tokenizers.bpe_training import sample, vocab_size_for
from transformer.data.tokenizers.registry import tokenizer_from_state
from transformer.system.errors import UserError


@pytest.mark.parametrize("number", first_fast([60, 1_000, 10_000], num_long=1))
def test_decoding_undoes_encoding_and_the_ids_are_the_librarys(pairs, number):
    @settings(max_examples=number)
    @given(text=TEXTS)
    def law(text):
        ids = pairs.encode(text)
        assert ids.dtype == np.int32
        assert pairs.decode(ids) == text
        assert ids.tolist() == pairs.library.encode(text, add_special_tokens=False).ids
        assert pairs.library.decode(ids.tolist(), skip_special_tokens=False) == text
        assert pairs.size(ids) == TextSize(len(text), len(text.encode("utf-8")))

    law()


@pytest.mark.slow
def test_after_export_the_ids_are_those_of_transformers(pairs, tmp_path):
    from transformers import PreTrainedTokenizerFast

    pairs.library.save(str(tmp_path / "tokenizer.json"))
    theirs = PreTrainedTokenizerFast(
        tokenizer_file=str(tmp_path / "tokenizer.json"), split_special_tokens=True
    )

    @settings(max_examples=1000)
    @given(text=TEXTS)
    def law(text):
        ids = theirs.encode(text, add_special_tokens=False)
        assert ids == pairs.encode(text).tolist()
        assert theirs.decode(ids, clean_up_tokenization_spaces=False) == text

    law()


def test_text_like_a_special_token_stays_text_in_the_corpus_and_in_a_prompt(pairs):
    made = BpeTokenizer.from_text("<|endoftext|> a\n" * 50, vocab_size=300)
    for tokenizer in (made, pairs):
        ids = tokenizer.encode("<|endoftext|>")
        assert tokenizer.end_of_text not in ids
        assert tokenizer.decode(ids) == "<|endoftext|>"
    assert pairs.pieces[pairs.end_of_text] == "<|endoftext|>"
    assert pairs.decode([pairs.end_of_text]) == ""
    assert pairs.size([pairs.end_of_text]) == TextSize(0, 0)


def test_pieces_are_learned_from_the_training_split_alone():
    train, val = "abab cd\n" * 40, "zyzy xw\n" * 40
    alone = BpeTokenizer.from_text(train, vocab_size=300)
    both = BpeTokenizer.from_text(train + val, len(train), vocab_size=300)
    assert both.state == alone.state
    assert both.encode("zyzy").tolist() == [both.pieces.index(letter) for letter in "zyzy"]


@pytest.mark.slow
def test_learning_twice_gives_the_same_bytes():
    code = (
        "import json, sys; from transformer.data.tokenizers.bpe import BpeTokenizer;"
        "text = ''.join(chr(97 + n * n % 23) + ' ' * (n % 5 == 0) for n in range(4000));"
        "print(BpeTokenizer.from_text(text, vocab_size=500).digest)"
    )
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True) for _ in range(2)]
    assert runs[0].stdout == runs[1].stdout != b""


def test_words_of_scripts_without_spaces_and_of_code_stay_apart(pairs):
    text = (
        "我们在这里，他们在那里。我们在这里，他们在那里。\nfor i in range(1234):\n\tx += 1\n" * 30
    )
    made = BpeTokenizer.from_text(text, vocab_size=400)
    for piece in (piece for piece in made.pieces[257:] if "\\x" not in piece):
        mixed = any(c.isdigit() for c in piece) and len(piece) > 1
        assert not mixed, piece  # digits stand alone
        assert not re.search(r"\w。\w", piece)  # a mark may begin a word, as a space does
        assert not ("\n" in piece and any(c.isalpha() for c in piece))
    assert made.split == "qwen2"


def test_fewer_pieces_than_asked_for_are_taken_and_counted(caplog):
    made = BpeTokenizer.from_text("abcabc abcabc\n" * 5, vocab_size=1000)
    assert 257 < made.vocab_size < 300
    assert caplog.messages == [
        f"vocab_size: {made.vocab_size} pieces are taken, not 1,000: no other pair of pieces "
        "stands min_frequency=2 times in the training split"
    ]


def test_min_frequency_is_how_often_a_pair_must_stand(caplog):
    caplog.set_level(logging.ERROR)
    text = "ab\n" * 5 + "cd\n" * 7
    pieces = BpeTokenizer.from_text(text, vocab_size=1000, min_frequency=6).pieces
    assert "cd" in pieces
    assert "ab" not in pieces


def test_a_vocabulary_without_room_for_the_bytes_is_an_error_with_the_number():
    with pytest.raises(UserError, match=r"`vocab_size=256` is too small: give 257 or more, for"):
        BpeTokenizer.from_text(TEXT, vocab_size=256)
    assert BpeTokenizer.from_text(TEXT, vocab_size=257).vocab_size == 257


def test_the_size_that_is_auto_grows_with_the_text_in_powers_of_two():
    assert [vocab_size_for(n) for n in (0, 10**6, 4_307_190, 10**8, 10**12)] == [
        *(512, 512, 1024, 32_768, 32_768)
    ]
    sizes = [vocab_size_for(n * 100_000) for n in range(700)]
    assert sizes == sorted(sizes)
    assert {size & (size - 1) for size in sizes} == {0}


def test_a_sample_is_spread_over_a_long_text_and_no_longer_than_stated(monkeypatch):
    monkeypatch.setattr(bpe_training, "PART", 10)
    monkeypatch.setattr(bpe_training, "SAMPLE", 200)
    text = "".join(f"{n:05d} abc " for n in range(1000))
    parts = list(sample(text))
    assert sum(map(len, parts)) == 200
    starts = sorted(int(part[:5]) for part in parts)
    assert max(np.diff([0, *starts, 1000])) < 150
    monkeypatch.setattr(bpe_training, "DISTINCT", 60)
    assert len(list(sample(text))) < 20  # numbers are distinct words
    monkeypatch.setattr(bpe_training, "SAMPLE", 10**9)
    assert len(list(sample("abc " * 100))) == 40


def test_a_piece_is_shown_as_text_or_its_bytes_in_hexadecimal(pairs):
    assert pairs.pieces[pairs.encode(" the")[0]] == " the"
    first = pairs.encode("\u0e4f").tolist()  # not in the training text
    assert [pairs.pieces[id_] for id_ in first][-1] == r"\x8f"
    assert b"".join(map(pairs.bytes_of, first)) == "\u0e4f".encode()


def test_bytes_that_are_no_utf_8_count_as_replacement_characters(pairs):
    assert pairs.decode(pairs.encode("a\udcff\ud800")) == "a" + 4 * "\ufffd"
    assert pairs.unknown("\udcff") == []


def test_the_last_token_of_a_prompt_can_be_taken_back(pairs):
    tokens = pairs.encode("to the").tolist()
    assert pairs.without_last(tokens) == (tokens[:-1], b" the")
    assert pairs.without_last(tokens[:1]) == (tokens[:1], b"")


def test_state_survives_json(pairs):
    state = json.loads(json.dumps(pairs.state))
    assert (state["kind"], state["split"]) == ("bpe", "qwen2")
    again = tokenizer_from_state(state)
    assert again.state == pairs.state
    assert again.encode(TEXT).tolist() == pairs.encode(TEXT).tolist()
    assert again.digest == pairs.digest


def test_hypothesis_finds_texts_in_which_a_piece_spans_several_characters(pairs):
    """Or the laws above would hold for a tokenizer of bytes too."""
    text = find(TEXTS, lambda text: 1 < len(pairs.encode(text)) < len(text) / 2)
    assert text
