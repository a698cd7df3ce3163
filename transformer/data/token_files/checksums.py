"""Checksums of a file, one for each block of it, so that a part of a long file can be checked.

They are a list of pairs: the bytes of a block, and their CRC-32. Imports no torch.
"""

import zlib
from collections.abc import Collection
from typing import BinaryIO

Checksums = list[list[int]]

_BLOCK = 1 << 24  # bytes, from which on another block begins


def add(checksums: Checksums, data: memoryview) -> None:
    """Counts what is written next."""
    if not checksums or checksums[-1][0] >= _BLOCK:
        checksums.append([0, 0])
    size, found = checksums[-1]
    checksums[-1] = [size + data.nbytes, zlib.crc32(data, found)]


def num_bytes(checksums: Checksums) -> int:
    return sum(size for size, _ in checksums)


def fit(file: BinaryIO, checksums: Checksums, numbers: Collection[int] | None = None) -> bool:
    """Whether the next bytes of a file have these checksums; of the blocks `numbers`, or of all.

    Raises: OSError, ValueError or TypeError for what is no list of checksums.
    """
    for number, (size, wanted) in enumerate(checksums):
        if numbers is not None and number not in numbers:
            file.seek(size, 1)
            continue
        data = file.read(size)
        if len(data) != size or zlib.crc32(data) != wanted:
            return False
    return True
