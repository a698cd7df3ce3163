"""Files of one's own for validation and the test: which pairs train, and what is known of them."""

import random
from pathlib import Path
from typing import Any

import pytest

from transformer.data.pairs.datamodule import PairDataModule
from transformer.data.pairs.reading import Pairs, read_pairs
from transformer.data.pairs.settings import PairSettings
from transformer.data.record import record_of
from transformer.system.errors import UserError

DATA = "".join(f"{n}\tx{n}\n" for n in range(200))
VAL, TEST = "200\tx\n201\ty\n201\tz\n", "300\tu\n301\tv\n"
PIECES = {"source_units": "pieces", "target_units": "pieces", "block_size": 30}


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`read(data, val, test)` writes the files that are given, and reads them together."""
    monkeypatch.chdir(tmp_path)

    def call(data: str, val: str | None = None, test: str | None = None, **keys: Any) -> Pairs:
        for key, text in (("val_path", val), ("test_path", test)):
            if text is not None:
                keys[key] = f"{key.removesuffix('_path')}.tsv"
                Path(keys[key]).write_text(text, encoding="utf-8", newline="")
        Path("data.tsv").write_text(data, encoding="utf-8", newline="")
        return read_pairs("data.tsv", PairSettings(**{"block_size": 5} | keys))

    return call


def sources_of(pairs: Pairs, **keys: Any) -> list[list[str]]:
    """The sources of each split, in order."""
    splits = pairs.split(*PairSettings(block_size=5, **keys).fractions)
    return [[pairs.sources[row] for row in rows] for rows in splits]


def test_own_files_are_the_splits_and_nothing_is_split_off(read):
    own = {"val_path": "val.tsv", "test_path": "test.tsv"}
    train, val, test = sources_of(read(DATA, VAL, TEST), **own)
    assert train == [str(n) for n in range(200)]
    assert (val, test) == (["200", "201", "201"], ["300", "301"])


def test_the_other_split_is_split_off_by_the_hash_as_before(read):
    _, val, test = sources_of(read(DATA))
    assert val
    assert test
    pairs = read(DATA, VAL)
    assert sources_of(pairs, val_path="val.tsv")[1:] == [["200", "201", "201"], test]
    # Which sources are for validation depends on the fraction of the test, so it is 0 here too.
    expected = sources_of(read(DATA), test_fraction=0.0)[1]
    assert sources_of(read(DATA, test=TEST), test_path="test.tsv")[1:] == [expected, ["300", "301"]]


@pytest.mark.parametrize("seed", range(5))
def test_a_source_is_in_one_split_at_most_and_one_of_an_own_file_never_trains(read, seed):
    draw = random.Random(seed)

    def lines(number: int) -> str:
        return "".join(f"{draw.randrange(150)}\t{draw.randrange(3)}\n" for _ in range(number))

    texts = {"val": lines(20) * draw.randrange(2), "test": lines(20)}
    texts = {name: text for name, text in texts.items() if text}
    pairs = read(lines(400), **texts)
    own = {f"{name}_path": f"{name}.tsv" for name in texts}
    train, val, test = map(set, sources_of(pairs, **own))
    assert len(train | val | test) == len(train) + len(val) + len(test)
    assert test == {line.split("\t")[0] for line in texts["test"].splitlines()}
    for text in texts.values():
        assert not train & {line.split("\t")[0] for line in text.splitlines()}


def test_all_pairs_of_a_source_in_an_own_file_are_left_out_and_counted(read):
    data = DATA + "200\tother\n201\ty\n301\tmore\n"
    pairs = read(data, VAL + "300\tw\n", TEST)
    train, val, test = sources_of(pairs, val_path="val.tsv", test_path="test.tsv")
    assert train == [str(n) for n in range(200)]
    assert (val, test) == (["200", "201", "201"], ["300", "301"])
    assert pairs.note_of_copies == (
        ", 3 pairs with sources of val_path or test_path left out of training"
        ", 1 pair with sources of test_path left out of validation"
    )
    one = read(data, test=TEST)
    assert one.note_of_copies == ", 1 pair with sources of test_path left out of training"
    assert read(DATA, VAL, TEST).note_of_copies == read(data).note_of_copies == ""


def test_a_source_of_words_is_the_same_with_other_spaces(read):
    pairs = read("a  b\tx\nc\ty\n", "a b \tz\n", source_units="words")
    assert sources_of(pairs, val_path="val.tsv", test_fraction=0.0) == [["c"], ["a b"], []]


def test_the_vocabulary_is_of_all_files(read):
    tokenizer = read(DATA, "ä\tö\n", "ß\tü\n").tokenizer
    assert {"ä", "ß"} <= set(tokenizer.source.vocabulary)
    assert {"ö", "ü"} <= set(tokenizer.target.vocabulary)


def test_pieces_are_learned_from_what_trains_and_from_nothing_else(read):
    data = "".join(f"walk {n}\twalked {n}\n" for n in range(99))
    val = "".join(f"jump {n}\tjumped {n}\n" for n in range(99))
    keys = PIECES | {"vocab_size": 280}
    copies = "".join(f"jump {n}\tjumping {n}\n" for n in range(99))
    alone = read(data, "q\tq\n", "r\tr\n", **keys).tokenizer.state
    assert read(copies + data, val, "r\tr\n", **keys).tokenizer.state == alone
    assert read(copies + data, "q\tq\n", "r\tr\n", **keys).tokenizer.state != alone


def test_bad_lines_of_every_file_are_named_with_their_file_and_counted_together(read):
    texts = ("bad\n" + DATA, VAL + "abcdef\tx\n", "\n" + TEST + "a\tb\tc\n")
    with pytest.raises(UserError) as caught:
        read(*texts)
    assert str(caught.value) == (
        "data.tsv: 1 bad line: no tab in line 1; "
        "val.tsv: 1 bad line: source longer than block_size=5 in line 4; "
        "test.tsv: 2 bad lines: no tab in line 1; more than one tab in line 4: correct them, or "
        "train with a larger `block_size`, or give `skip_bad_lines=True` to skip bad lines"
    )
    pairs = read(*texts, skip_bad_lines=True)
    assert pairs.num_skipped == 4
    assert pairs.sources == read(DATA, VAL, TEST).sources


def test_too_many_pieces_are_named_with_their_file(read):
    keys = PIECES | {"block_size": 9}
    with pytest.raises(UserError, match=r"^test\.tsv: 1 bad line: target longer .* in line 2: "):
        read(DATA, VAL, f"a\tb\nc\t{'q!' * 9}\n", **keys)


def test_an_own_file_without_a_good_line_is_an_error_even_if_bad_lines_are_skipped(read):
    with pytest.raises(UserError, match=r"^val\.tsv: all lines are bad: no tab in line 1: correct"):
        read("bad\n" + DATA, "bad\n", skip_bad_lines=True)


def test_the_digest_is_of_every_file_and_of_what_it_is_for(read):
    texts = [(DATA, VAL, TEST), (DATA, TEST, VAL), (DATA, VAL, None), (DATA, None, VAL)]
    texts += [(DATA, VAL, TEST + "9\tx\n"), (DATA + "9\ty\n", VAL, TEST), (DATA, None, None)]
    digests = [read(*some).sha256 for some in texts]
    assert len(set(digests)) == len(texts)
    assert read(DATA, VAL.replace("\n", "\r\n"), TEST).sha256 == digests[0]


def test_facts_name_each_file_and_without_own_files_are_as_they_were(read):
    alone = read(DATA)
    assert alone.facts == {"sha256": alone.sha256, "num_pairs": 200, **record_of(DATA)}
    facts = read(DATA, VAL).facts
    assert facts["files"] == {
        "data.tsv": alone.sha256[:12],
        "val.tsv": read(VAL).sha256[:12],
    }


def test_line_ends_are_noted_with_the_file_that_has_them(read):
    pairs = read(DATA, VAL, TEST.replace("\n", "\r\n"))
    assert pairs.note == ", 2 CRLF read as LF in test.tsv"


@pytest.mark.parametrize(
    ("texts", "name", "left_out"),
    [
        ((VAL, VAL, TEST), "training", "3 pairs with sources of val_path or test_path left out"),
        ((DATA, TEST, TEST), "validation", "2 pairs with sources of test_path left out of val"),
    ],
)
def test_a_split_that_copies_leave_empty_is_an_error_that_counts_them(read, texts, name, left_out):
    keys = {"block_size": 5, "val_path": "val.tsv", "test_path": "test.tsv"}
    with pytest.raises(UserError) as caught:
        read(*texts).check_splits(PairSettings(**keys))
    message = str(caught.value)
    assert f"and no pair is for {name}: " in message
    assert "(val_path=val.tsv, test_path=test.tsv, " in message
    assert left_out in message


@pytest.mark.parametrize(
    ("keys", "fractions"),
    [
        ({}, (0.1, 0.1)),
        ({"test_fraction": 0.3}, (0.1, 0.3)),
        ({"val_path": "a"}, (0.0, 0.1)),
        ({"test_path": "a"}, (0.1, 0.0)),
        ({"test_path": "a", "test_fraction": 0.0}, (0.1, 0.0)),
        ({"val_path": "a", "val_fraction": 0.95, "test_fraction": 0.5}, (0.0, 0.5)),
    ],
    ids=str,
)
def test_a_file_takes_the_place_of_its_fraction(keys, fractions):
    assert PairSettings(block_size=5, **keys).fractions == fractions


def test_what_contradicts_an_own_file_is_refused():
    with pytest.raises(UserError, match=r"test_fraction=0\.1 does not go with test_path: leave"):
        PairSettings(block_size=5, test_path="x", test_fraction=0.1)
    with pytest.raises(UserError, match="val_path: pairs are read from one file, got 2"):
        PairSettings(block_size=5, val_path=["a", "b"])


def test_the_datamodule_validates_and_tests_on_own_files(read):
    read(DATA, VAL, TEST)
    data = PairDataModule(
        "data.tsv", block_size=5, batch_size=7, val_path=Path("val.tsv"), test_path="test.tsv"
    )
    decode = data.tokenizer.source.decode
    for loader, expected in (
        (data.val_dataloader(), ["200", "201", "201"]),
        (data.test_dataloader(), ["300", "301"]),
    ):
        assert sorted(decode(row) for source, _, _ in loader for row in source) == expected
    assert data.hparams["val_path"] == "val.tsv"  # a checkpoint with a str loads without pickle
