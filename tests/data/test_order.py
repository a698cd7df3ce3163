"""The endless order of chunks, and the windows of validation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transformer.data.order import (
    EndlessOrder,
    drawn_windows,
    num_chunks,
    num_windows,
    sampled_windows,
)

SIZES = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 63, 64, 65, 255, 256, 257, 1023, 1024, 1025, 65537]
# First entries for (13 chunks, seed 7) over two epochs and a bit, and of a large order.
PINNED_13 = [
    *(10, 5, 1, 7, 2, 8, 4, 0, 11, 12, 9, 6, 3),
    *(12, 3, 6, 10, 11, 8, 0, 7, 2, 9, 1, 5, 4),
    *(0, 8, 12, 9),
]
PINNED_MILLION = [417820, 527846, 210604, 845652, 560481, 839187]
PINNED_LATE = [275284, 269914, 869447, 42622]
MANY = settings(max_examples=100, deadline=None, derandomize=True, database=None)


def epoch(size: int, seed: int, number: int) -> list[int]:
    return EndlessOrder(size, seed).positions(number * size, size).tolist()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("number", [0, 1, 10**6])
def test_each_epoch_is_a_permutation_of_all_chunks(size, number):
    assert sorted(epoch(size, 5, number)) == list(range(size))


def test_no_two_epochs_share_their_order():
    orders = {tuple(epoch(13, 0, number)) for number in range(50)}
    assert len(orders) == 50  # of 13! = 6e9, so that two alike by chance would be a wonder


def test_no_two_seeds_share_their_order():
    orders = {tuple(epoch(13, seed, 0)) for seed in [*range(50), 2**32 - 1]}
    assert len(orders) == 51


def test_another_seed_does_not_give_the_epochs_of_this_one_in_another_order():
    ours = {tuple(epoch(13, 0, number)) for number in range(20)}
    assert not ours & {tuple(epoch(13, seed, n)) for seed in range(1, 20) for n in range(20)}


@MANY
@given(
    size=st.integers(1, 40),
    seed=st.integers(0, 2**32 - 1),
    first=st.integers(0, 10**9),
    counts=st.lists(st.integers(0, 30), max_size=8),
)
def test_order_read_in_pieces_is_the_order_read_at_once(size, seed, first, counts):
    order = EndlessOrder(size, seed)
    starts = [first + sum(counts[:i]) for i in range(len(counts))]
    pieces = [order.positions(start, n) for start, n in zip(starts, counts, strict=True)]
    joined = [chunk for piece in pieces for chunk in piece.tolist()]
    assert joined == order.positions(first, sum(counts)).tolist()


def test_order_stays_the_same_in_later_versions():
    """A run that is resumed with a newer version must find the order that it was trained in."""
    assert EndlessOrder(13, 7).positions(0, 30).tolist() == PINNED_13
    assert EndlessOrder(1_000_003, 0).positions(0, 6).tolist() == PINNED_MILLION
    assert EndlessOrder(1_000_003, 0).positions(10**12, 4).tolist() == PINNED_LATE


@pytest.mark.parametrize("size", [5, 13, 101])
def test_each_chunk_comes_to_each_place_about_equally_often(size):
    """Chi-square of places x chunks over 2,000 epochs; the seed is fixed.

    Rows and columns of the table add up, so (n - 1) / n of the sum has (n - 1)^2 degrees of
    freedom. A fair shuffle is 4 deviations above them with probability 1.2e-3 (n = 5), 2e-4 (13),
    5e-5 (101); one whose rounds share their keys is 30 or more above.
    """
    epochs, freedom = 2000, (size - 1) ** 2
    order = EndlessOrder(size, 3).positions(0, size * epochs).reshape(epochs, size)
    counts = np.stack([np.bincount(place, minlength=size) for place in order.T])
    chi_square = ((counts - epochs / size) ** 2 / (epochs / size)).sum() * (size - 1) / size
    assert chi_square < freedom + 4 * np.sqrt(2 * freedom)


@pytest.mark.parametrize("lag", [1, 2, 3])
def test_neighbours_in_the_order_are_no_neighbours_in_the_text(lag):
    """Correlation of a fair shuffle of n is normal with deviation 1 / sqrt(n): 4.5 of them happen
    by chance with probability 7e-6."""
    size = 10_007
    order = EndlessOrder(size, 11).positions(0, size).astype(float)
    correlation = np.corrcoef(order[:-lag], order[lag:])[0, 1]
    assert abs(correlation) < 4.5 / np.sqrt(size)


@pytest.mark.parametrize("pair", [(0, 1), (0, 2), (7, 8)])
def test_epochs_are_shuffled_independently_of_each_other(pair):
    size = 10_007
    orders = [np.array(epoch(size, 11, number), dtype=float) for number in pair]
    assert abs(np.corrcoef(*orders)[0, 1]) < 4.5 / np.sqrt(size)  # as above


def test_order_of_nothing_is_an_error():
    with pytest.raises(ValueError, match="at least one entry, got size=0"):
        EndlessOrder(0, seed=0)


@pytest.mark.parametrize("block_size", [1, 2, 5])
@pytest.mark.parametrize("stride", [1, 2, 3, 5, 7])
def test_chunks_are_as_many_as_starts_that_leave_room_for_a_chunk_and_its_target(
    block_size, stride
):
    for num_tokens in range(40):
        starts = range(0, num_tokens, stride)
        fitting = [start for start in starts if start + block_size + 1 <= num_tokens]
        assert num_chunks(num_tokens, block_size, stride) == len(fitting)


@pytest.mark.parametrize("block_size", [1, 2, 3, 5, 7])
def test_windows_have_each_token_but_the_first_as_a_target_once(block_size):
    for num_tokens in range(2, 40):
        targets = [
            target
            for window in range(num_windows(num_tokens, block_size))
            for target in range(window * block_size + 1, (window + 1) * block_size + 1)
            if target < num_tokens
        ]
        assert targets == list(range(1, num_tokens))


@pytest.mark.parametrize("total", [0, 1, 5, 7])
def test_few_windows_are_all_taken(total):
    assert sampled_windows(total, 7).tolist() == list(range(total))


@MANY
@given(most=st.integers(1, 50), more=st.integers(0, 10**6))
def test_each_part_of_a_large_text_has_one_drawn_window_which_is_always_the_same(most, more):
    total = most + more
    windows, borders = drawn_windows(total, most), [*sampled_windows(total, most), total]
    assert np.array_equal(np.searchsorted(borders, windows, side="right"), np.arange(1, most + 1))
    assert np.array_equal(drawn_windows(total, most), windows)


def test_drawn_windows_have_no_period():
    windows = drawn_windows(100_000, 1_000)
    assert len(set((windows % 100).tolist())) > 90


@MANY
@given(most=st.integers(1, 50), more=st.integers(1, 10**6))
def test_sampled_windows_are_as_many_as_allowed_and_evenly_spaced(most, more):
    total = most + more
    windows = sampled_windows(total, most)
    assert len(windows) == most
    assert windows[0] == 0
    gaps = np.diff([*windows, total])  # the last gap reaches to the end
    assert gaps.min() >= 1
    assert gaps.max() - gaps.min() <= 1
