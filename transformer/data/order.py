"""How many chunks a text has, and the endless order in which they come. Imports no torch."""

import math
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

_ROUNDS = 6


def num_chunks(num_tokens: int, block_size: int, stride: int) -> int:
    """Chunks of block_size inputs and one more target that fit, one every `stride` tokens."""
    return max(0, (num_tokens - block_size - 1) // stride + 1)


@runtime_checkable
class Order(Protocol):
    size: int  # entries of an epoch

    def positions(self, first: int, count: int) -> NDArray[np.int64]: ...


class EndlessOrder:
    """An endless order of chunks, or of pairs, which depends only on their number and the seed.

    Entry n is number `permutation_e(n mod size)` of epoch e = n // size; each epoch has its own
    permutation. The permutation is a Feistel network with cycle walking (Black and Rogaway 2002,
    "Ciphers with arbitrary finite domains"), which computes any entry directly. So no list is kept,
    batch size, workers and devices do not matter, and resuming needs only the number of an entry.
    """

    def __init__(self, size: int, seed: int) -> None:
        if size < 1:
            raise ValueError(f"an order needs at least one entry, got size={size}")
        self.size = size
        self._seed = np.array([seed], dtype=np.uint64)
        half_bits = max(1, math.ceil(math.log2(max(2, size)) / 2))
        self._half_bits = np.uint64(half_bits)
        self._half_mask = np.uint64((1 << half_bits) - 1)

    def positions(self, first: int, count: int) -> NDArray[np.int64]:
        """The numbers at entries first .. first + count - 1 of the endless order."""
        entries = np.arange(first, first + count, dtype=np.uint64)
        epochs, values = np.divmod(entries, np.uint64(self.size))
        keys = _mix(epochs ^ _mix(self._seed + np.uint64(1)))
        values = self._permute(values, keys)
        while (outside := values >= self.size).any():
            values[outside] = self._permute(values[outside], keys[outside])
        return values.astype(np.int64)

    def _permute(self, values: NDArray[np.uint64], keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
        left, right = values >> self._half_bits, values & self._half_mask
        for round_number in range(_ROUNDS):
            # Above the bits of `right`; otherwise all rounds would mix the same few numbers.
            round_keys = keys + (np.uint64(round_number) << np.uint64(32))
            mixed = _mix(right ^ round_keys)
            left, right = right, left ^ (mixed & self._half_mask)
        return (left << self._half_bits) | right


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """splitmix64's finalizer (Steele, Lea and Flood 2014): each input bit flips half the output."""
    values = values * np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def num_windows(num_tokens: int, block_size: int) -> int:
    """Windows that together score each token but the first once; the last may be short."""
    return math.ceil((num_tokens - 1) / block_size)


def sampled_windows(total: int, most: int) -> NDArray[np.int64]:
    """At most `most` of the numbers 0 .. total - 1, evenly spaced."""
    count = min(total, most)
    return np.arange(count) * total // count


def drawn_windows(total: int, most: int) -> NDArray[np.int64]:
    """As `sampled_windows`, but each is drawn from its own part of the numbers, always the same.

    So no pattern of a large text, such as records of equal length, fits the distances.
    """
    borders = sampled_windows(total, most)
    widths = np.diff([*borders.tolist(), total])
    numbers = _mix(np.arange(len(borders), dtype=np.uint64))
    return borders + (numbers % np.maximum(widths, 1).astype(np.uint64)).astype(np.int64)
