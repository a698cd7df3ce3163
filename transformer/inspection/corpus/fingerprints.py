"""Fingerprints of a text: hashes of some of its pieces, by which equal passages are found.

A piece is kept if its hash is low, so that the same piece is kept wherever it stands (Manber 1994,
"Finding similar files in a large file system"). Imports no torch.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LENGTH = 32  # characters of a piece, a power of two
KEPT = 32  # one piece of so many is kept
_BLOCK = 1 << 18  # characters
_FACTOR, _MIX = 0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93  # odd, with bits all over
_WRAP = (1 << 64) - 1


class Fingerprints(NamedTuple):
    hashes: NDArray[np.uint64]
    places: NDArray[np.int64]  # of their first characters


def fingerprints(text: str) -> Fingerprints:
    hashes, places = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
    for start in range(0, len(text) - LENGTH + 1, _BLOCK):
        piece = text[start : start + _BLOCK + LENGTH - 1]
        found = _hashes(piece)
        kept = np.flatnonzero(found < np.uint64(2**64 // KEPT))
        hashes.append(found[kept])
        places.append(kept + start)
    return Fingerprints(np.concatenate(hashes), np.concatenate(places))


def _hashes(text: str) -> NDArray[np.uint64]:
    """Of each piece of the text: of twice the length from two neighbours, again and again."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    found = codes.astype(np.uint64)
    width, factor = 1, _FACTOR
    while width < LENGTH:
        found = found[:-width] * np.uint64(factor) + found[width:]
        width, factor = 2 * width, factor * factor & _WRAP
    found ^= found >> np.uint64(32)
    found *= np.uint64(_MIX)
    return found ^ (found >> np.uint64(32))
