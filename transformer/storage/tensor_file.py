"""Writes and reads a .safetensors file one tensor at a time: https://github.com/huggingface/safetensors

Nothing but the tensors themselves is ever in memory, and of a mapping that makes them, only one.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

_NAMES = {
    **{torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"},
    **{torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8"},
    **{torch.uint8: "U8", torch.bool: "BOOL"},
}
_ALIGNMENT = 8  # bytes; the header is padded with spaces up to it


def write_tensors(path: Path, tensors: Mapping[str, Tensor], texts: Mapping[str, str]) -> None:
    """A tensor is asked for twice: for the header, and for its content."""
    header: dict[str, Any] = {"__metadata__": dict(texts)}
    start = 0
    for name in tensors:
        tensor = tensors[name]
        end = start + tensor.nbytes
        facts = {"dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape)}
        header[name] = {**facts, "data_offsets": [start, end]}
        start = end
    encoded = json.dumps(header, ensure_ascii=False).encode()
    encoded += b" " * (-len(encoded) % _ALIGNMENT)
    with open(path, "wb") as file:
        file.write(len(encoded).to_bytes(8, "little") + encoded)
        for name in tensors:
            tensor = tensors[name].detach().cpu().contiguous()
            file.write(tensor.flatten().view(torch.uint8).numpy().data)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors, in memory of their own, and the texts.

    The file is opened for each: what was read of it counts as memory of this process while it is
    open.
    """
    with safe_open(path, framework="pt", device="cpu") as file:
        names, texts = file.keys(), file.metadata() or {}
    return {name: read_tensor(path, name).clone() for name in names}, texts


def read_tensor(path: Path, name: str) -> Tensor:
    with safe_open(path, framework="pt", device="cpu") as file:
        return file.get_tensor(name)


def check_names(expected: Collection[str], found: Collection[str]) -> None:
    """Raises: ValueError for a tensor that is missing or additional."""
    for name in (*expected, *sorted(found)):
        if (name in expected) != (name in found):
            known = "missing" if name in expected else "not expected"
            raise ValueError(f"tensor {name} is {known}")


def check_tensor(name: str, tensor: Tensor, shape: Sequence[int]) -> None:
    """Raises: ValueError for another shape, and for numbers that are not finite."""
    if tensor.shape != tuple(shape):
        raise ValueError(f"{name} has shape {tuple(tensor.shape)}, not {tuple(shape)}")
    if not tensor.isfinite().all():
        raise ValueError(f"{name} holds numbers that are not finite")
