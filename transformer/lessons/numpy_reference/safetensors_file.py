"""Reads a .safetensors file without the safetensors library.

The file has three parts: the length of the header (8 bytes, little-endian); the header, JSON with
the type, shape and offsets of each tensor; the numbers. https://huggingface.co/docs/safetensors
"""

import json
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from transformer.lessons.numpy_reference.functions import Floats

_LENGTH_BYTES = 8
_BFLOAT16 = "BF16"
_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", _BFLOAT16: "<u2"}


def read_safetensors(path: str | Path) -> tuple[dict[str, Floats], dict[str, str]]:
    """Returns the tensors by name, as float64, and the metadata.

    Raises: ValueError for a file that is truncated or not in this format, and for tensors that are
    not floats.
    """
    content = Path(path).read_bytes()
    start = _LENGTH_BYTES + int.from_bytes(content[:_LENGTH_BYTES], "little")
    try:
        header = json.loads(content[_LENGTH_BYTES:start])
        metadata = header.pop("__metadata__", {})
        numbers = memoryview(content)[start:]
        return {name: _tensor(numbers, **entry) for name, entry in header.items()}, metadata
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: not a complete safetensors file of floats ({error})") from None


def _tensor(
    numbers: memoryview, *, dtype: str, shape: list[int], data_offsets: list[int]
) -> Floats:
    if dtype not in _TYPES:
        raise ValueError(f"numbers must be {', '.join(_TYPES)}, got {dtype}")
    values: Any = np.frombuffer(numbers, _TYPES[dtype], prod(shape), data_offsets[0])
    if dtype == _BFLOAT16:  # the upper half of a float32
        values = (values.astype(np.uint32) << 16).view(np.float32)
    return values.astype(np.float64).reshape(shape)
