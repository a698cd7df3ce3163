"""Hashes of the pieces of a text, and how far two texts are equal. Imports no torch."""

import numpy as np
from numpy.typing import NDArray

from transformer.data.tokenizers.characters import code_points

_FACTOR, _MIX = 0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93  # odd, with bits all over
_STEP = 1 << 6  # characters that are compared first


def piece_hashes(text: str, length: int, bits: int = 64) -> NDArray[np.unsignedinteger]:
    """A hash of 32 or 64 bits for each piece of `length` characters, in the order of the text.

    The hash of twice the length comes from those of two neighbours, again and again. A length that
    is no power of two takes two pieces that overlap. Hashes of 32 bits take a third of the time.
    """
    kind = np.dtype(f"u{bits // 8}").type
    wrap = (1 << bits) - 1
    found = code_points(text).astype(kind)
    width, factor = 1, _FACTOR & wrap
    while 2 * width <= length:
        found = _joined(found, width, factor)
        width, factor = 2 * width, factor * factor & wrap
    if width < length:
        found = _joined(found, length - width, factor)
    half = kind(bits // 2)
    found = found ^ (found >> half)
    found *= kind(_MIX & wrap)
    return found ^ (found >> half)


def _joined(
    hashes: NDArray[np.unsignedinteger], distance: int, factor: int
) -> NDArray[np.unsignedinteger]:
    """Of pieces that begin at each place and at a distance behind it."""
    found = hashes[:-distance] * hashes.dtype.type(factor)
    found += hashes[distance:]
    return found


def common_before(one: str, start: int, two: str, other: int) -> int:
    """How many characters are equal before two places."""
    length, step, grows = 0, _STEP, True
    while step:
        step = min(step, start - length, other - length)
        here, there = start - length, other - length
        if step and one[here - step : here] == two[there - step : there]:
            length += step
            step *= 2 if grows else 1
        else:
            step, grows = step // 2, False
    return length


def common_from(one: str, start: int, two: str, other: int) -> int:
    """How many characters are equal from two places on."""
    length, step, grows = 0, _STEP, True
    most = min(len(one) - start, len(two) - other)
    while step:
        step = min(step, most - length)
        here, there = start + length, other + length
        if step and one[here : here + step] == two[there : there + step]:
            length += step
            step *= 2 if grows else 1
        else:
            step, grows = step // 2, False
    return length
