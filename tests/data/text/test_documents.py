"""Whole documents in one split each, in the order of a hash of their content."""

import numpy as np
import pytest

from transformer.data.reading import read_text_corpus
from transformer.data.text.documents import (
    LEFT_OUT,
    TEST,
    TRAIN,
    VAL,
    WholeDocuments,
    by_hash,
    split_documents,
)
from transformer.data.text.settings import TextSettings
from transformer.data.tokenizer_choice import TokenizerChoice
from transformer.system.errors import UserError


def random_keys(number, seed=0):
    return np.random.default_rng(seed).integers(0, 2**63, number).astype(np.uint64)


def split(keys, lengths, **fractions):
    return by_hash(keys, np.array(lengths), fractions.pop("val_fraction", 0.1), **fractions)


@pytest.mark.parametrize("number", [20, 101, 2003])
def test_validation_reaches_its_fraction_of_the_characters(number):
    lengths = np.random.default_rng(1).integers(1, 99, number)
    places = split(random_keys(number), lengths, test_fraction=0.2)
    for place, fraction in ((VAL, 0.1), (TEST, 0.2)):
        found, wanted = lengths[places == place].sum(), fraction * lengths.sum()
        assert wanted <= found < wanted + lengths.max() or number < 30
        assert found > 0
    assert (places == TRAIN).any()


def test_a_document_stays_in_its_split_if_others_are_moved():
    keys, lengths = random_keys(101), np.full(101, 7)
    order = np.random.default_rng(2).permutation(101)
    assert split(keys[order], lengths).tolist() == split(keys, lengths)[order].tolist()


def test_copies_of_a_validation_document_never_train():
    keys = random_keys(53)
    both = np.concatenate((keys, keys, keys[:3]))
    places = split(both, np.full(len(both), 7))
    validated = both[places == VAL]
    assert len(set(validated.tolist())) == len(validated)
    assert not np.isin(both[places == TRAIN], validated).any()
    assert (places == LEFT_OUT).sum() >= len(validated)


def test_one_long_document_is_not_most_of_the_text_for_validation():
    for seed in range(30):
        places = split(random_keys(23, seed), [10_000] + [100] * 22)
        assert places[0] == TRAIN
        assert (places == VAL).any()


def test_few_documents_are_split_at_the_end_of_the_text():
    lengths = np.array([50, 30, 20])
    found = split_documents(
        random_keys(3), lengths, np.zeros(3, np.int64), val_fraction=0.25, test_fraction=0.1
    )
    assert [found.pieces(n) for n in range(3)] == [
        [(TRAIN, 0, None)],
        [(TRAIN, 0, 15), (VAL, 15, None)],
        [(VAL, 0, 10), (TEST, 10, None)],
    ]
    many = split_documents(
        random_keys(20), np.ones(20, np.int64), np.zeros(20, np.int64), val_fraction=0.1
    )
    assert isinstance(many, WholeDocuments)


@pytest.fixture
def books(tmp_path):
    for number in range(23):
        text = f"book {number}: {'abc ' * (number + 5)}\n"
        (tmp_path / f"{number:02}.txt").write_text(text, encoding="utf-8")
    (tmp_path / "23.txt").write_text((tmp_path / "00.txt").read_text())
    return tmp_path


def read(path, tokenizer="bytes", **keys):
    settings = TextSettings(block_size=5, tokenizer=tokenizer, **keys)
    return read_text_corpus(path, settings, TokenizerChoice(tokenizer=tokenizer), build=False)


@pytest.mark.parametrize("tokenizer", ["bytes", "characters"])
def test_between_two_documents_stands_an_end_of_text_or_the_separator(books, tokenizer):
    corpus = read(str(books), tokenizer, document_separator="\n--\n")
    end = corpus.tokenizer.end_of_text
    parts = []
    for split_ids in (corpus.train, corpus.val):
        ids = split_ids.tolist()
        if end is None:
            parts += corpus.tokenizer.decode(ids).split("\n--\n")
        else:
            text = "|".join(map(str, ids)).split(f"|{end}|")
            parts += [corpus.tokenizer.decode(list(map(int, one.split("|")))) for one in text]
    texts = [path.read_text(encoding="utf-8") for path in books.iterdir()]
    assert set(parts) == set(texts)
    assert "1 copy of validation" in corpus.note or parts.count(texts[0]) <= 2


def test_files_of_ones_own_are_the_validation_split_and_nothing_is_split_off(books, tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    (own / "v.txt").write_text((books / "07.txt").read_text(), encoding="utf-8")
    (own / "w.txt").write_text("only here\n", encoding="utf-8")
    corpus = read(f"{books}/*.txt", val_path=str(own))
    validation = corpus.tokenizer.decode(corpus.val)
    assert validation == (books / "07.txt").read_text() + "only here\n"
    train = corpus.tokenizer.decode(corpus.train)
    assert "book 7:" not in train
    assert train.count("book ") == 23
    with pytest.raises(UserError, match="does not go with val_path"):
        TextSettings(block_size=5, val_path="x", test_fraction=0.1)


def test_a_mix_keeps_an_end_of_each_part_and_the_parts_in_their_order(tmp_path):
    for name, number in (("a", 400), ("b", 10)):
        (tmp_path / f"{name}.txt").write_text(name * number, encoding="utf-8")
    paths = [str(tmp_path / f"{name}.txt") for name in "ab"]
    corpus = read(paths, "characters", data_weights=[1, 3], document_separator="")
    assert corpus.tokenizer.decode(corpus.train) == "a" * 360 + "b" * 9
    assert corpus.tokenizer.decode(corpus.val) == "a" * 40 + "b"
    assert [tuple(part) for part in corpus.mix] == [(1, 360), (3, 9)]
    with pytest.raises(UserError, match=r"part 2 of data_path has 9 characters"):
        corpus.check_length(15, 0.1, "x")


def test_the_hash_of_one_document_is_that_of_its_text_whatever_it_is_packed_in(tmp_path):
    import gzip

    text = "a text\n" * 99
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(text.encode()))
    plain, packed = (read(str(tmp_path / name)) for name in ("a.txt", "a.txt.gz"))
    assert plain.sha256 == packed.sha256
    assert plain.tokens.tolist() == packed.tokens.tolist()
    assert "num_documents" not in plain.facts  # the same bytes in a model's file as ever


def test_of_equal_documents_the_first_alone_is_read(tmp_path):
    for number in range(30):
        (tmp_path / f"{number:02}.txt").write_text(f"text {number % 25}", encoding="utf-8")
    every = read(str(tmp_path), "bytes")
    once = read(str(tmp_path), "bytes", drop_duplicates=True)
    assert "5 duplicates left out" in once.note
    (tmp_path / "few").mkdir()
    for number in range(25):
        (tmp_path / f"few/{number:02}.txt").write_text(f"text {number}", encoding="utf-8")
    few = read(str(tmp_path / "few"), "bytes")
    assert np.array_equal(once.tokens, few.tokens)
    assert len(every.train) > len(once.train)


def test_few_documents_with_a_copy_are_split_as_without_it(tmp_path):
    (tmp_path / "few").mkdir()
    for name in ("a.txt", "b.txt", "c.txt", "few/a.txt", "few/c.txt"):
        text = "first text " * 9 if name[-5] in "ab" else "second, longer"
        (tmp_path / name).write_text(text, encoding="utf-8")
    once = read(f"{tmp_path}/*.txt", "bytes", drop_duplicates=True)
    few = read(str(tmp_path / "few"), "bytes")
    assert np.array_equal(once.train, few.train)
    assert np.array_equal(once.val, few.val)


def test_a_copy_in_val_path_stays_for_validation(tmp_path):
    for name, text in (("a", "one"), ("b", "two"), ("v", "two"), ("w", "two"), ("x", "three")):
        (tmp_path / f"{name}.txt").write_text(text, encoding="utf-8")
    paths = [str(tmp_path / f"{name}.txt") for name in "vwx"]
    found = read(f"{tmp_path}/[ab].txt", "bytes", val_path=paths, drop_duplicates=True)
    assert found.tokenizer.decode(found.train) == "one"
    assert bytes(token for token in found.val.tolist() if token < 256) == b"twothree"
