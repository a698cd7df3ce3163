"""Weights as the bytes of a page, and where each tensor is among them; container.js reads them."""

import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from transformer.storage.int8_rows import SCALES, dequantized, quantized

INT8, FLOAT32 = "int8", "float32"  # values of `--format`; the first is the default
_ALIGNED = 4  # bytes: a Float32Array begins at a multiple of them


def _as_float32(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().float() for name, tensor in weights.items()}


_STORED: dict[str, Callable[[Mapping[str, Tensor]], dict[str, Tensor]]] = {
    INT8: quantized,
    FLOAT32: _as_float32,
}
NUMBER_FORMATS = tuple(_STORED)


def stored(weights: Mapping[str, Tensor], number_format: str) -> dict[str, Tensor]:
    """`weights` has each tensor once: see `distinct_tensors`.

    Raises: ValueError for int8 and numbers that are not finite.
    """
    return _STORED[number_format](weights)


def read_back(weights: Mapping[str, Tensor], number_format: str) -> dict[str, Tensor]:
    """The weights in float32 as a page has them."""
    return dequantized(stored(weights, number_format))


class Packer:
    """Collects tensors, one after the other, little endian."""

    def __init__(self) -> None:
        self._data = bytearray()

    @property
    def start(self) -> int:
        """Where the next tensor will begin."""
        self._data += bytes(-len(self._data) % _ALIGNED)
        return len(self._data)

    @property
    def data(self) -> bytes:
        return bytes(self._data)

    def checksum(self, text: str) -> int:
        """CRC-32 of an ASCII text and the bytes behind it."""
        return zlib.crc32(self._data, zlib.crc32(text.encode("ascii")))

    def add(self, tensors: Mapping[str, Tensor]) -> list[dict[str, Any]]:
        """A row for each of the `stored` tensors: its offset from the first, and of its scales."""
        start = self.start
        return [
            self._row(name, tensor, tensors.get(name + SCALES), start)
            for name, tensor in tensors.items()
            if not name.endswith(SCALES)
        ]

    def _row(self, name: str, tensor: Tensor, scales: Tensor | None, start: int) -> dict[str, Any]:
        number_format = INT8 if tensor.dtype == torch.int8 else FLOAT32
        row = {"name": name, "shape": list(tensor.shape), "format": number_format}
        row["offset"] = self._put(tensor) - start
        row["scales"] = None if scales is None else self._put(scales) - start
        return row

    def _put(self, tensor: Tensor) -> int:
        """The offset of its first byte."""
        offset = self.start
        array = tensor.contiguous().numpy()
        kind = np.int8 if tensor.dtype == torch.int8 else np.dtype("<f4")
        self._data += array.astype(kind, copy=False).tobytes()
        return offset


def num_bytes(weights: Mapping[str, Tensor], number_format: str) -> int:
    """About as many as `Packer` makes of these weights."""
    if number_format == FLOAT32:
        return sum(4 * tensor.numel() for tensor in weights.values())
    rows = {name: tensor for name, tensor in weights.items() if tensor.dim() >= 2}
    others = sum(4 * tensor.numel() for name, tensor in weights.items() if name not in rows)
    return others + sum(tensor.numel() + 4 * len(tensor) for tensor in rows.values())
