"""A text file -> ids, and the cut between training and validation."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transformer.data.text.corpus import Corpus, Text, read_corpus
from transformer.data.text.split import cuts_at, recorded_cuts
from transformer.data.tokenizer_choice import TokenizerChoice
from transformer.data.tokenizers.base import TextSize, Tokenizer
from transformer.data.tokenizers.registry import TOKENIZERS
from transformer.system.errors import UserError

FRACTIONS = st.floats(0.001, 0.999)
MANY = settings(max_examples=100, deadline=None, derandomize=True, database=None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "corpus.txt"


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_corpus_is_the_ids_of_the_files_text(path):
    corpus = Corpus.from_file(write(path, "naïve\n😀".encode()))
    assert corpus.tokens.dtype == np.int32
    assert corpus.tokenizer.decode(corpus.tokens) == "naïve\n😀"
    assert (corpus.tokenizer.vocab_size, corpus.note) == (7, "")


def test_byte_order_mark_at_the_start_is_dropped_and_another_kept(path):
    text = read_corpus(write(path, "\ufeffa\ufeffb".encode()))
    assert text.characters == "a\ufeffb"


def test_windows_line_ends_are_read_as_lf_and_counted(path):
    text = read_corpus(write(path, b"a\r\nb\r\n\r\nc\rd\n"))
    assert text.characters == "a\nb\n\nc\rd\n"
    assert text.note == ", 3 CRLF read as LF"


def test_line_ends_of_old_macs_make_the_same_text(path):
    corpus = Corpus.from_file(write(path, b"a\rb\r\rc\r"))
    assert corpus.sha256 == read_corpus(write(path, b"a\nb\n\nc\n")).sha256
    assert corpus.tokenizer.vocabulary == "\nabc"
    assert corpus.note == ", 4 CR read as LF"


def test_a_text_full_of_nuls_is_read_with_a_warning_that_names_its_encoding(path, caplog):
    text = read_corpus(write(path, "Call me Ishmael.\n".encode("utf-16-le")))
    assert text.characters.count("\0") == 17
    assert caplog.messages == [
        f"{path}: 17 of its 34 characters are NUL: it looks like UTF-16-LE without a byte order "
        "mark, and is read as UTF-8; save it as UTF-8"
    ]


def test_digest_is_that_of_the_text_whatever_its_line_ends(path):
    digest = read_corpus(write(path, "é\nb\n".encode())).sha256
    assert digest == hashlib.sha256("é\nb\n".encode()).hexdigest()
    assert read_corpus(write(path, "\ufeffé\r\nb\r\n".encode())).sha256 == digest
    assert Corpus.from_file(path).sha256 == digest
    assert read_corpus(write(path, "é\nb".encode())).sha256 != digest


def test_file_that_is_not_utf_8_is_an_error_with_the_byte_offset(path):
    with pytest.raises(UserError, match=r"corpus\.txt: not UTF-8 at byte 3 \(0xe9\)"):
        read_corpus(write(path, "é".encode() + b"a\xe9b"))


@pytest.mark.parametrize("data", [b"", b"\xef\xbb\xbf"])
def test_empty_file_is_an_error(path, data):
    with pytest.raises(UserError, match=r"corpus\.txt: the file is empty; give a text"):
        read_corpus(write(path, data))


def test_folder_is_an_error(tmp_path):
    with pytest.raises(UserError, match="is a folder, not a text file"):
        read_corpus(tmp_path)


def test_missing_file_is_an_error(path):
    with pytest.raises(UserError, match=r"corpus\.txt: no such text file"):
        read_corpus(path)


def test_built_in_corpus_that_is_there_is_read_as_it_is(tmp_path):
    path = tmp_path / "data" / "input.txt"
    path.parent.mkdir()
    assert read_corpus(write(path, b"my own text")).characters == "my own text"


@pytest.mark.parametrize("num_tokens", [1, 2, 3, 10, 11, 999, 1_003_854, 1_115_394, 1_132_181])
def test_cut_is_nanogpts(num_tokens):
    """The first int(0.9 n) characters are for training, so that losses can be compared."""
    assert cuts_at(num_tokens, 0.1) == (int(num_tokens * 0.9), num_tokens)


@MANY
@given(num_tokens=st.integers(1, 10**7), val_fraction=FRACTIONS)
def test_validation_is_the_fraction_asked_for_to_the_token(num_tokens, val_fraction):
    num_val = num_tokens - cuts_at(num_tokens, val_fraction).train
    assert abs(num_val - num_tokens * val_fraction) < 1 + 1e-6


@MANY
@given(num_tokens=st.integers(1, 300), val_fraction=FRACTIONS, rest=st.floats(0, 0.99))
def test_splits_share_no_position_and_lose_none(num_tokens, val_fraction, rest):
    """Each character of the text occurs once, so that its place can be followed."""
    text = Text("".join(map(chr, range(num_tokens))))
    test_fraction = rest * (1 - val_fraction)
    corpus = Corpus.from_text(text, cuts_at(num_tokens, val_fraction, test_fraction))
    assert [*corpus.train, *corpus.val, *corpus.test] == list(range(num_tokens))
    assert abs(len(corpus.test) - num_tokens * test_fraction) < 1 + 1e-6


SOME_OR_NONE = st.sampled_from([0.0, 0.2])


class Pairwise(Tokenizer):
    """Two characters to a token where that can be: lengths in tokens and in characters differ."""

    name = units = "pairs of characters"

    def __init__(self, pieces):
        self.pieces = pieces

    @classmethod
    def from_text(cls, text, num_train):
        return cls(sorted({*cls.cut(text), *cls.cut(text[1:]), *text}))

    @staticmethod
    def cut(text):
        return [text[at : at + 2] for at in range(0, len(text), 2)]

    @classmethod
    def from_state(cls, state):
        return cls(state["pieces"])

    @property
    def state(self):
        return {"kind": self.name, "pieces": self.pieces}

    def size(self, ids):
        text = self.decode(ids)
        return TextSize(len(text), len(text.encode()))

    def unknown(self, text):
        return sorted({*self.cut(text)} - {*self.pieces})

    def encode_known(self, text):
        return self.encode(text), 0

    def encode(self, text):
        return np.array([self.pieces.index(piece) for piece in self.cut(text)], dtype=np.int32)

    def decode(self, ids):
        return "".join(self.pieces[id_] for id_ in ids)


@MANY
@given(
    text=st.text("abc", min_size=1),
    val_fraction=FRACTIONS,
    test_fraction=st.sampled_from([0.0, 0.2]),
)
def test_the_cut_is_at_the_same_character_whatever_the_tokenizer(text, val_fraction, test_fraction):
    """No token holds characters of two splits, and the record says where the cuts are."""
    cuts = cuts_at(len(text), val_fraction * (1 - test_fraction), test_fraction)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TOKENIZERS, Pairwise.name, Pairwise)
        for name in ("characters", Pairwise.name):
            corpus = Corpus.from_text(Text(text), cuts, TokenizerChoice(tokenizer=name))
            splits = corpus.train, corpus.val, corpus.test
            assert tuple(map(corpus.tokenizer.decode, splits)) == cuts.parts(text)
            assert recorded_cuts(corpus.facts, len(text), 0.5) == cuts
    old = recorded_cuts({}, len(text), val_fraction)  # of a file without the record
    assert old == cuts_at(len(text), val_fraction)


@pytest.mark.parametrize(
    ("num_tokens", "val_fraction", "message"),
    [
        (1000, 0.1, r"1,000 characters leave 100 for validation \(val_fraction=0\.1\), but one "),
        (1500, 0.95, r"1,500 characters leave 75 for training \(val_fraction=0\.95\), but one "),
    ],
)
def test_corpus_shorter_than_a_chunk_is_an_error_with_the_numbers(
    num_tokens, val_fraction, message
):
    ending = r"chunk needs block_size \+ 1 = 101: give a longer text, or change"
    with pytest.raises(UserError, match=rf"^mine\.txt: {message}{ending}"):
        corpus_of(num_tokens, val_fraction).check_length(100, val_fraction, "mine.txt")


def corpus_of(num_characters, val_fraction):
    return Corpus.from_text(Text("a" * num_characters), cuts_at(num_characters, val_fraction))


def test_corpus_with_just_one_chunk_a_split_is_long_enough():
    corpus_of(14, 0.5).check_length(6, 0.5, "mine.txt")
    with pytest.raises(UserError, match="13 characters leave 6 for training"):
        corpus_of(13, 0.5).check_length(6, 0.5, "mine.txt")
