"""Fingerprints of a text: hashes of some of its pieces, by which equal passages are found.

A piece is kept if its hash is low, so that the same piece is kept wherever it stands (Manber 1994,
"Finding similar files in a large file system"). Imports no torch.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from transformer.data.text.pieces import piece_hashes

LENGTH = 32  # characters of a piece
KEPT = 32  # one piece of so many is kept
_BLOCK = 1 << 18  # characters


class Fingerprints(NamedTuple):
    hashes: NDArray[np.uint64]
    places: NDArray[np.int64]  # of their first characters


def fingerprints(text: str) -> Fingerprints:
    hashes, places = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
    for start in range(0, len(text) - LENGTH + 1, _BLOCK):
        piece = text[start : start + _BLOCK + LENGTH - 1]
        found = piece_hashes(piece, LENGTH)
        kept = np.flatnonzero(found < np.uint64(2**64 // KEPT))
        hashes.append(found[kept])
        places.append(kept + start)
    return Fingerprints(np.concatenate(hashes), np.concatenate(places))
