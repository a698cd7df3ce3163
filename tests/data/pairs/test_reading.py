"""A file of pairs: what is a line, what is a bad one, and where each pair belongs."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from transformer.data.pairs.reading import Pairs, read_pairs
from transformer.data.pairs.settings import PairSettings
from transformer.system.errors import UserError

GOOD = "read\tR EH1 D\nread\tR IY1 D\nled\tL EH1 D\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "words.tsv"


def read(path: Path, data: bytes | str, **settings: Any) -> Pairs:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    units = {"source_units": "characters", "target_units": "words"}
    return read_pairs(path, PairSettings(**{"block_size": 5} | units | settings))


def lines(pairs: Pairs) -> list[tuple[str, str]]:
    return list(zip(pairs.sources, pairs.targets, strict=True))


def many(path: Path, numbers: Any) -> Pairs:
    """Pairs of sources that are numbers, of which every third has a second answer."""
    text = "".join(f"{n}\tx{n}\n" + f"{n}\ty{n}\n" * (n % 3 == 0) for n in numbers)
    return read(path, text)


def test_pairs_are_the_lines_of_the_file_in_its_order(path):
    pairs = read(path, GOOD)
    assert lines(pairs) == [("read", "R EH1 D"), ("read", "R IY1 D"), ("led", "L EH1 D")]
    assert pairs.num_skipped == 0


def test_vocabulary_of_each_side_is_the_sorted_units_of_all_lines(path):
    tokenizer = read(path, GOOD).tokenizer
    assert tokenizer.source.vocabulary == ["a", "d", "e", "l", "r"]
    assert tokenizer.target.vocabulary == ["D", "EH1", "IY1", "L", "R"]


def test_shared_vocabulary_holds_the_units_of_both_sides(path):
    tokenizer = read(path, "ab\tbc\n", target_units="characters", shared_vocabulary=True).tokenizer
    assert tokenizer.source.state == tokenizer.target.state
    assert tokenizer.source.vocabulary == ["a", "b", "c"]


def test_shared_vocabulary_of_different_units_is_an_error(path):
    message = "same units on both sides, got source_units=characters and target_units=words"
    with pytest.raises(UserError, match=message):
        read(path, GOOD, shared_vocabulary=True)


def test_same_line_twice_is_one_pair(path):
    assert lines(read(path, GOOD + GOOD)) == lines(read(path, GOOD))


def test_words_are_parted_by_one_space_and_characters_kept_as_they_are(path):
    assert lines(read(path, " a \t  A   B \n")) == [(" a ", "A B")]


@pytest.mark.parametrize(
    "data",
    [GOOD, GOOD.rstrip("\n"), GOOD + "\n", "\ufeff" + GOOD.replace("\n", "\r\n")],
    ids=["plain", "no line end", "empty last line", "BOM and CRLF"],
)
def test_line_ends_and_a_byte_order_mark_make_no_difference(path, data):
    assert lines(read(path, data)) == lines(read(path, GOOD))


def test_digest_is_that_of_the_text_whatever_its_line_ends(path):
    expected = hashlib.sha256(GOOD.encode()).hexdigest()
    assert read(path, GOOD).sha256 == expected
    assert read(path, "\ufeff" + GOOD.replace("\n", "\r\n")).sha256 == expected


BAD = {
    "no tab": "word",
    "more than one tab": "a\tb\tc",
    "empty source": "\tA",
    "empty target": "a\t  ",
    "source longer than block_size=5": "abcdef\tA",
    "target longer than block_size=5": "a\tA B C D E F",
}


def test_every_kind_of_bad_line_is_named_with_its_lines_in_one_message(path):
    text = GOOD + "".join(f"{line}\n" for line in BAD.values())
    kinds = "; ".join(f"{kind} in line {number}" for number, kind in enumerate(BAD, start=4))
    with pytest.raises(UserError) as caught:
        read(path, text)
    assert str(caught.value) == (
        f"{path}: 6 bad lines: {kinds}: correct them, or train with a larger `block_size`, "
        "or give `skip_bad_lines=True` to skip bad lines"
    )


def test_first_five_bad_lines_of_a_kind_are_named_and_the_others_counted(path):
    text = "word\n" * 2 + GOOD + "\n" * 4 + GOOD
    with pytest.raises(UserError, match=r"6 bad lines: no tab in lines 1, 2, 6, 7, 8 and 1 more: "):
        read(path, text)


def test_larger_block_size_is_a_way_out_only_where_it_is_one(path):
    with pytest.raises(UserError, match=r"1 bad line: no tab in line 1: correct it, or give `skip"):
        read(path, "word\n" + GOOD)


@pytest.mark.parametrize("line", BAD.values(), ids=BAD)
def test_bad_lines_can_be_left_out_and_are_counted(path, line):
    pairs = read(path, f"{line}\n{GOOD}{line}\n", skip_bad_lines=True)
    assert lines(pairs) == lines(read(path, GOOD))
    assert pairs.tokenizer.state == read(path, GOOD).tokenizer.state
    assert read(path, f"{line}\n{GOOD}{line}\n", skip_bad_lines=True).num_skipped == 2


def test_sides_of_exactly_block_size_units_are_good(path):
    assert len(read(path, "abcde\tA B C D E\n").sources) == 1


def test_no_good_line_is_an_error_even_where_bad_lines_are_skipped(path):
    with pytest.raises(
        UserError, match=r"words\.tsv: all lines are bad: no tab in lines 1, 2: correct"
    ):
        read(path, "a\nb\n", skip_bad_lines=True)


@pytest.mark.parametrize("data", ["", "\ufeff", "\n\n"])
def test_empty_file_is_an_error(path, data):
    with pytest.raises(UserError, match=r"words\.tsv: the file is empty; give a source, a tab"):
        read(path, data)


def test_file_that_is_missing_or_not_utf_8_is_an_error(path):
    with pytest.raises(UserError, match=r"other\.tsv: no such file of pairs"):
        read_pairs(path.with_name("other.tsv"), PairSettings(block_size=5))
    with pytest.raises(UserError, match="not UTF-8 at byte 2"):
        read(path, b"a\t\xe9\n")


def test_built_in_file_that_is_missing_is_built_where_that_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = "data/reverse.tsv"
    with pytest.raises(UserError, match="only a new training run builds it"):
        read_pairs(path, PairSettings(block_size=12))
    assert list(tmp_path.iterdir()) == []
    pairs = read_pairs(path, PairSettings(block_size=12, shared_vocabulary=True), build=True)
    assert len(pairs.sources) == 20_000
    assert pairs.tokenizer.source.vocabulary == list("abcdefghijklmnopqrstuvwxyz")


def test_line_ends_of_old_macs_end_lines_and_nuls_are_warned_of(path, caplog):
    pairs = read(path, GOOD.replace("\n", "\r"))
    assert pairs.sha256 == read(path, GOOD).sha256
    assert pairs.note == f", {GOOD.count(chr(10))} CR read as LF"
    assert caplog.messages == []
    read(path, "a\tb\n\0\tb\n")
    assert "1 of its 8 characters are NUL, and plain text has none" in caplog.messages[0]


def test_splits_share_no_pair_and_lose_none(path):
    splits = many(path, range(1000)).split(0.1, 0.2)
    assert sorted(np.concatenate(splits).tolist()) == list(range(1334))
    assert all(np.all(np.diff(indices) > 0) for indices in splits)


def test_all_answers_of_a_source_are_in_one_split(path):
    pairs = many(path, range(1000))
    train, val, test = (set(pairs.answers(indices)) for indices in pairs.split(0.3, 0.3))
    assert train | val | test == set(pairs.sources)
    assert len(train) + len(val) + len(test) == 1000


def test_split_of_a_source_depends_on_no_other_line_nor_on_their_order(path):
    def split_of(pairs: Pairs) -> dict[str, int]:
        splits = pairs.split(0.2, 0.3)
        return {pairs.sources[i]: number for number in range(3) for i in splits[number]}

    everything = split_of(many(path, range(600)))
    some = split_of(many(path, range(598, 0, -2)))
    assert some == {source: everything[source] for source in some}
    assert set(some.values()) == {0, 1, 2}


def test_fractions_are_those_of_the_sources_on_average(path):
    """Four deviations of 5,000 draws."""
    splits = read(path, "".join(f"{n}\tA\n" for n in range(5000))).split(0.1, 0.3)
    for indices, fraction in zip(splits, (0.6, 0.1, 0.3), strict=True):
        assert abs(len(indices) / 5000 - fraction) < 4 * (fraction * (1 - fraction) / 5000) ** 0.5


def test_test_split_stays_the_same_in_later_versions_and_under_another_val_fraction(path):
    """A published score must be that of the same words."""
    pairs = read(path, "".join(f"{n}\tA\n" for n in range(100)))
    test = pairs.split(0.1, 0.1).test
    assert test == [n for n in range(100) if hashlib.sha256(b"%d" % n).digest()[0] / 256 < 0.1]
    assert pairs.split(0.5, 0.1).test == test
    assert pairs.split(0.5, 0.0).test == []


def test_answers_are_all_targets_of_each_source(path):
    pairs = read(path, GOOD)
    assert pairs.answers(range(3)) == {"read": ["R EH1 D", "R IY1 D"], "led": ["L EH1 D"]}
    assert pairs.answers([2]) == {"led": ["L EH1 D"]}


@pytest.mark.parametrize(
    ("fractions", "name"), [((0.0, 0.0), "validation"), ((0.9, 0.09), "training")]
)
def test_empty_split_is_an_error_with_the_sizes_and_the_fractions(path, fractions, name):
    pairs = read(path, GOOD)
    val, test = fractions
    with pytest.raises(UserError) as caught:
        pairs.check_splits(PairSettings(block_size=5, val_fraction=val, test_fraction=test))
    message = str(caught.value)
    assert message.startswith(f"{path}: 3 pairs, and no pair is for {name}: ")
    assert f"(val_fraction={val:g}, test_fraction={test:g}): give more pairs" in message


def test_empty_test_split_is_no_error(path):
    half = PairSettings(block_size=5, val_fraction=0.5, test_fraction=0.0)
    many(path, range(50)).check_splits(half)


def test_pieces_are_learned_from_the_training_split_and_long_sides_found_afterwards(path):
    text = "".join(f"walk {n}\twalked {n}\n" for n in range(200)) + f"{'q!' * 9}\tx\n"
    units = {"source_units": "pieces", "target_units": "pieces", "vocab_size": 290}
    with pytest.raises(UserError, match=r"1 bad line: source longer than block_size=9 in line 201"):
        read(path, text, **units, block_size=9)
    pairs = read(path, text, **units, block_size=9, skip_bad_lines=True)
    assert (len(pairs.sources), pairs.num_skipped) == (200, 1)
    assert pairs.tokenizer.source.split("walk 7") == ["walk", " ", "7"]
    pairs = read(path, text[: text.index("q!")], **units, block_size=9)  # without that source
    train = {pairs.sources[index] for index in pairs.split(0.1, 0.1).train}
    only = "".join(f"{s}\t{t}\n" for s, t in lines(pairs) if s in train)
    assert read(path, only, **units, block_size=9).tokenizer.state == pairs.tokenizer.state


def test_both_sides_may_share_their_pieces(path):
    units = {"source_units": "pieces", "target_units": "pieces", "vocab_size": 270}
    tokenizer = read(path, "abab\tcdcd\n" * 9, **units, shared_vocabulary=True).tokenizer
    assert tokenizer.source.state == tokenizer.target.state
    assert {"ab", "cd"} <= set(tokenizer.source.vocabulary)
