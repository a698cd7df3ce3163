"""Which rows of a test are slow: variants of what one of its other rows tells."""

from collections.abc import Iterable
from typing import Any

import pytest


def first_fast(
    rows: Iterable[Any], number: int = 1, *, several: bool = False, num_long: int = 0
) -> list[Any]:
    """The first `number` rows as they are; the others are marked as slow.

    `several`: a row has values of several arguments. The last `num_long` rows are long, too.
    """
    rows = list(rows)
    first_long = len(rows) - num_long
    marks = [[pytest.mark.slow], [pytest.mark.slow, pytest.mark.long]]
    slow = [
        pytest.param(*(row if several else (row,)), marks=marks[place >= first_long])
        for place, row in enumerate(rows[number:], number)
    ]
    return [*rows[:number], *slow]


def last_long(rows: Iterable[Any], number: int, *, several: bool = False) -> list[Any]:
    """The rows of a slow test, of which the last `number` are long."""
    rows = list(rows)
    long = [row if several else (row,) for row in rows[-number:]]
    return [*rows[:-number], *(pytest.param(*row, marks=pytest.mark.long) for row in long)]
