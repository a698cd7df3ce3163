"""What is kept in the cache folder: made once, made again where it is damaged."""

import json

import numpy as np
import pytest

from transformer.data.text.encoding import encoded
from transformer.data.tokenizer_choice import TokenizerChoice
from transformer.data.tokenizers.bpe import BpeTokenizer
from transformer.system.cache import kept

TEXT = "the cat sat on the mat, the cat\n" * 30


@pytest.fixture
def small(monkeypatch):
    """Every text is long enough to be kept."""
    monkeypatch.setattr(BpeTokenizer, "kept_from", 1)


def call(path, content, most_files=9):
    """The content, and whether it was made."""
    made = []

    def make():
        made.append(content)
        return content

    def read(path):
        return json.loads(path.read_text())

    def write(path, value):
        path.write_text(json.dumps(value))

    return kept(path, make, read, write, most_files=most_files), bool(made)


def test_a_file_is_made_once_and_again_where_it_is_damaged(tmp_path):
    path = tmp_path / "deep" / "a.json"
    assert [call(path, 1), call(path, 2)] == [(1, True), (1, False)]
    path.write_text("{")
    assert [call(path, 3), call(path, 4)] == [(3, True), (3, False)]


def test_the_files_that_were_used_last_stay(tmp_path):
    import os

    for number in range(5):
        call(tmp_path / f"{number}.json", number, most_files=3)
        os.utime(tmp_path / f"{number}.json", (number, number))
    assert sorted(path.name for path in tmp_path.glob("*.json")) == ["2.json", "3.json", "4.json"]


def test_a_folder_that_cannot_be_used_is_no_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert call(tmp_path / "file" / "a.json", 5) == (5, True)


def test_the_ids_of_a_long_text_are_kept_by_text_and_tokenizer(tmp_path, small, monkeypatch):
    one, other = (BpeTokenizer.from_text(TEXT, vocab_size=size) for size in (260, 265))
    expected = [tokenizer.encode(TEXT) for tokenizer in (one, other)]
    for _ in range(2):
        for tokenizer, ids in zip((one, other), expected, strict=True):
            assert encoded(tokenizer, TEXT, str(tmp_path)).tolist() == ids.tolist()
        monkeypatch.setattr(BpeTokenizer, "encode", None)  # the second time, nothing is encoded
    assert len(list((tmp_path / "texts").glob("*.npy"))) == 2
    monkeypatch.undo()
    BpeTokenizer.kept_from, before = 1, BpeTokenizer.kept_from
    try:
        for path in (tmp_path / "texts").glob("*.npy"):
            np.save(path, np.array([5, 10**6], dtype=np.int32))  # an id that there is not
        assert encoded(one, TEXT, str(tmp_path)).tolist() == expected[0].tolist()
    finally:
        BpeTokenizer.kept_from = before


def test_pieces_of_a_long_text_are_learned_once_for_each_setting(tmp_path, small, monkeypatch):
    def choose(**settings):
        settings = {"tokenizer": "bpe", "cache_dir": str(tmp_path), "vocab_size": 262, **settings}
        return TokenizerChoice(**settings).make(TEXT, len(TEXT)).state

    first, fewer = choose(), choose(vocab_size=259)
    monkeypatch.setattr(BpeTokenizer, "from_text", None)
    assert (choose(), choose(vocab_size=259)) == (first, fewer)
    with pytest.raises(TypeError):
        choose(min_frequency=3)
