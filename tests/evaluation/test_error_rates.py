"""Word and unit error rates: counts by hand, edits by the definition, intervals as published."""

import random
from functools import cache

import numpy as np
import pytest

from transformer.evaluation.error_rates import (
    bootstrap_interval,
    has_stress,
    nearest_answer,
    score_answers,
    wilson_interval,
    without_stress,
)

WORDS = [  # prediction, accepted answers, edits, units
    ("K AE1 T", ["K AE1 T"], 0, 3),
    ("T AH0 M AA1 T OW2", ["T AH0 M EY1 T OW2", "T AH0 M AA1 T OW2"], 0, 6),
    ("K AE1 T S", ["K AE1 T"], 1, 3),
    ("D AO1", ["D AO1 G", "D"], 1, 3),  # as far from both: the longer one counts
    ("", ["AY1", "HH AY1"], 1, 1),
    ("B IY1 Z IY0", ["B IH1 Z IY0", "Z"], 1, 4),
    ("S S S S S", ["AH0 V"], 5, 2),
]


def rates(words):
    predictions = [prediction.split() for prediction, *_ in words]
    return score_answers(predictions, [[a.split() for a in answers] for _, answers, *_ in words])


@pytest.mark.parametrize("word", WORDS, ids=str)
def test_the_edits_of_a_word_are_those_to_its_nearest_answer(word):
    prediction, answers, edits, units = word
    assert nearest_answer(prediction.split(), [a.split() for a in answers]) == (edits, units)
    assert nearest_answer(prediction.split(), [a.split() for a in answers[::-1]]) == (edits, units)


def test_rates_are_sums_over_all_words():
    scored = rates(WORDS)
    assert (scored.num_words, scored.word_errors) == (7, 5)
    assert (scored.unit_edits, scored.num_units) == (9, 22)
    assert scored.word_error_rate == 5 / 7
    assert scored.unit_error_rate == 9 / 22
    assert rates(WORDS[-1:]).unit_error_rate == 2.5  # more than all


def edits_by_definition(ours, theirs):
    @cache
    def edits(i, j):
        if not i or not j:
            return i + j
        changed = ours[i - 1] != theirs[j - 1]
        return min(edits(i - 1, j) + 1, edits(i, j - 1) + 1, edits(i - 1, j - 1) + changed)

    return edits(len(ours), len(theirs))


def test_edits_equal_those_of_the_definition():
    """On units of several letters, which are compared whole."""
    drawn = random.Random(0)
    for _ in range(300):
        ours, theirs = (
            drawn.choices(["A", "AH", "AH0", "AH1", "HH"], k=drawn.randint(least, 11))
            for least in (0, 1)
        )
        assert nearest_answer(ours, [theirs]) == (edits_by_definition(ours, theirs), len(theirs))


@pytest.mark.parametrize(
    ("num_errors", "num_words", "expected"),
    [  # Newcombe 1998, "Two-sided confidence intervals for the single proportion", method 3
        (81, 263, (0.2553, 0.3662)),
        (15, 148, (0.0624, 0.1605)),
        (0, 20, (0.0, 0.1611)),
        (1, 29, (0.0061, 0.1718)),
        (10, 100, (0.0552, 0.1744)),
        (20, 20, (1 - 0.1611, 1.0)),  # the mirror of none
    ],
)
def test_the_interval_of_a_proportion_is_wilsons(num_errors, num_words, expected):
    assert wilson_interval(num_errors, num_words) == pytest.approx(expected, abs=5.1e-5)


@pytest.mark.parametrize("wrong", [0, 1])
def test_a_word_error_rate_of_all_or_nothing_is_not_certain(wrong):
    scored = rates([("S" if wrong else "AH0 V", ["AH0 V"])] * 13)
    low, high = scored.word_error_interval
    assert low <= wrong <= high
    assert 0.1 < high - low < 0.3


@pytest.fixture
def counts():
    """Edits and units of 1009 words that are drawn alike."""
    drawn = np.random.default_rng(0)
    units = drawn.integers(2, 12, 1009)
    return np.stack((drawn.binomial(units, 0.07), units), axis=1)


def test_the_bootstrap_interval_agrees_with_the_delta_method(counts):
    """The variance of a ratio of sums, to first order; the ends of 1000 draws vary by some %."""
    edits, units = counts.T
    rate = edits.sum() / units.sum()
    error = np.sqrt(((edits - rate * units) ** 2).sum()) / units.sum()
    low, high = bootstrap_interval(counts)
    assert low == pytest.approx(rate - 1.96 * error, abs=0.2 * error)
    assert high == pytest.approx(rate + 1.96 * error, abs=0.2 * error)


def test_the_bootstrap_interval_is_the_same_each_time_and_in_any_order(counts):
    expected = bootstrap_interval(counts)
    assert bootstrap_interval(counts) == expected
    assert bootstrap_interval(counts[::-1]) == expected
    assert bootstrap_interval(counts, seed=1) != expected


def test_rates_lie_in_their_intervals():
    scored = rates(WORDS)
    for rate, (low, high) in (
        (scored.word_error_rate, scored.word_error_interval),
        (scored.unit_error_rate, scored.unit_error_interval),
    ):
        assert 0 <= low < rate < high


def test_all_numbers_are_in_the_dictionary_as_plain_python():
    scored = rates(WORDS)
    names = [
        *("num_words", "word_errors", "unit_edits", "num_units"),
        *("word_error_rate", "word_error_interval", "unit_error_rate", "unit_error_interval"),
    ]
    assert scored.as_dict() == {name: getattr(scored, name) for name in names}
    numbers = [scored.num_words, scored.word_errors, scored.unit_edits, scored.num_units]
    assert all(type(number) is int for number in numbers)
    ends = [*scored.word_error_interval, *scored.unit_error_interval]
    assert all(type(end) is float for end in ends)


@pytest.mark.parametrize(
    ("predictions", "answers", "match"),
    [
        ([], [], "no predictions to score"),
        ([["K"]], [], "1 predictions, but answers for 0 words"),
        ([["K"], ["T"]], [[["K"]], []], "word 1 has no answer"),
        ([["K"]], [[["K"], []]], "word 0 has no answer, or an answer without units"),
    ],
    ids=str,
)
def test_what_cannot_be_scored_is_refused(predictions, answers, match):
    with pytest.raises(ValueError, match=match):
        score_answers(predictions, answers)


def test_stress_is_the_digit_of_a_vowel():
    units = ["AH0", "B", "AW1", "T", "OY2", "AH", "AH3", "1", "a1", "AH10", "AH0\n"]
    kept = ["AH", "B", "AW", "T", "OY", "AH", "AH3", "1", "a1", "AH10", "AH0\n"]
    assert without_stress(units) == kept
    assert has_stress(units)
    assert not has_stress(kept)
    assert without_stress([]) == []
    assert not has_stress([])
