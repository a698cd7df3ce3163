"""Which moments of a training are kept: spread over its steps, then over its losses."""

import math
from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transformer.storage.moments import candidates, crowded, is_due, spaced_by_loss


def kept_after(last: int, number: int) -> tuple[list[int], int]:
    """The steps kept after so many steps, and how many were kept on the way."""
    steps: list[int] = []
    writes = 0
    for step in range(last + 1):
        if is_due(steps, step, number):
            steps.append(step)
            writes += 1
            if (dropped := crowded(steps, number)) is not None:
                steps.remove(dropped)
    return steps, writes


@pytest.mark.parametrize("number", [2, 5, 10])
@pytest.mark.parametrize("last", [0, 1, 40, 300, 20_000])
def test_steps_are_evenly_spaced_by_their_logarithm_wherever_the_run_ends(number, last):
    steps, writes = kept_after(last, number)
    assert steps[0] == 0
    assert len(steps) <= candidates(number)
    even = math.log1p(last) / (candidates(number) - 1)
    for before, after in zip(steps, [*steps[1:], last], strict=True):
        # At the beginning, steps are further apart than that; what is dropped leaves twice a gap.
        assert after <= before + 1 or math.log1p(after) - math.log1p(before) <= 2.4 * even
    assert writes <= 2 * candidates(number)


def test_each_step_is_kept_at_once_at_the_beginning_and_none_twice():
    assert kept_after(4, 5)[0] == [0, 1, 2, 3, 4]
    assert not is_due([0, 1, 2], 2, 5)


def test_the_first_and_the_last_step_are_never_dropped():
    assert crowded([0, 1, 2, 3], 2) is None
    assert crowded([0, 1, 2, 3, 100], 2) == 2  # log 4/2 is less than log 3/1 and log 101/3
    assert crowded([0, 90, 91, 92, 93], 2) == 92


def cost(losses, places):
    return sum((losses[b] - losses[a]) ** 2 for a, b in pairwise(places))


LOSSES = st.lists(st.floats(0, 5), min_size=2, max_size=8)


@given(losses=LOSSES, number=st.integers(2, 5))
def test_no_other_choice_of_moments_is_more_even_in_loss(losses, number):
    chosen = spaced_by_loss(losses, number)
    last = len(losses) - 1
    assert len(chosen) == min(number, len(losses))
    assert (chosen[0], chosen[-1]) == (0, last)
    assert chosen == sorted(chosen)
    if last >= number:
        others = combinations(range(1, last), number - 2)
        least = min(cost(losses, (0, *inner, last)) for inner in others)
        assert cost(losses, chosen) == pytest.approx(least, rel=1e-12, abs=1e-300)


@given(losses=LOSSES, number=st.integers(2, 5), data=st.data())
def test_what_was_chosen_stays_chosen_when_others_are_gone(losses, number, data):
    """So a run that was killed while it deleted the others ends with the same."""
    losses = [round(loss, 1) for loss in losses]  # ties, too
    chosen = spaced_by_loss(losses, number)
    left = sorted({*chosen, *data.draw(st.sets(st.sampled_from(range(len(losses)))))})
    again = spaced_by_loss([losses[place] for place in left], number)
    assert [left[place] for place in again] == chosen


def test_a_straight_fall_is_cut_into_equal_parts():
    losses = [4.0, 3.9, 3.1, 3.0, 2.9, 2.1, 2.0]
    assert spaced_by_loss(losses, 3) == [0, 3, 6]
