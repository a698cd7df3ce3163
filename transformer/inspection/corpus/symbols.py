"""Counts the symbols of texts. Imports no torch."""

from collections.abc import Iterable

import numpy as np

_BLOCK = 1 << 20  # characters
_ALL = 0x110000  # code points of Unicode


def symbol_counts(texts: Iterable[str]) -> dict[str, int]:
    """How often each symbol occurs, the most frequent first; equal ones by their numbers."""
    counts = np.zeros(_ALL, dtype=np.int64)
    for text in texts:
        for start in range(0, len(text), _BLOCK):
            data = text[start : start + _BLOCK].encode("utf-32-le", "surrogatepass")
            found = np.bincount(np.frombuffer(data, dtype="<u4"))
            counts[: len(found)] += found
    known = np.flatnonzero(counts)
    order = known[np.argsort(-counts[known], kind="stable")]
    return {chr(symbol): int(counts[symbol]) for symbol in order}
