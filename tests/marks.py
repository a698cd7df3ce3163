"""Which rows of a test are slow: variants of what one of its other rows tells."""

from collections.abc import Iterable
from typing import Any

import pytest


def first_fast(rows: Iterable[Any], number: int = 1, *, several: bool = False) -> list[Any]:
    """The first `number` rows as they are; the others are marked as slow.

    `several`: a row has values of several arguments.
    """
    rows = list(rows)
    slow = [row if several else (row,) for row in rows[number:]]
    return [*rows[:number], *(pytest.param(*row, marks=pytest.mark.slow) for row in slow)]
