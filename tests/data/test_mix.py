"""The exact shares of a mix, at every place of the endless order."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transformer.data.order import EndlessOrder
from transformer.data.text.mix import MixedOrder, pattern_of

WEIGHTS = [[0.7, 0.2, 0.1], [1, 1, 1], [3.0], [0.333, 0.6, 0.01, 0.057], [2, 3, 5, 7, 11]]


def times(pattern, part, number):
    return np.cumsum(pattern[np.arange(number) % len(pattern)] == part)


@pytest.mark.parametrize("weights", WEIGHTS, ids=str)
def test_after_any_number_of_chunks_each_part_has_its_share_to_less_than_one(weights):
    pattern, number = pattern_of(weights), 100_000
    for part, weight in enumerate(weights):
        share = np.arange(1, number + 1) * (weight / sum(weights))
        assert np.abs(times(pattern, part, number) - share).max() < 1


def mixed():
    orders = [EndlessOrder(size, seed) for seed, size in enumerate((13, 7, 29))]
    return MixedOrder(orders, [0, 100, 1000], 3, [0.5, 0.3, 0.2]), orders


@settings(deadline=None, max_examples=30)
@given(first=st.integers(0, 10**6), count=st.integers(0, 50))
def test_any_entry_is_computed_directly(first, count):
    order, _ = mixed()
    one_by_one = [int(order.positions(first + n, 1)[0]) for n in range(count)]
    assert order.positions(first, count).tolist() == one_by_one


def test_each_part_comes_in_its_own_endless_order():
    order, orders = mixed()
    found = order.positions(0, 1000)
    for own, (low, high) in zip(orders, ((0, 100), (100, 1000), (1000, 2000)), strict=True):
        chunks = found[(found >= low) & (found < high)]
        assert chunks.tolist() == (own.positions(0, len(chunks)) * 3 + low).tolist()
