"""The snapshots of a run: what its model was at some moments of the training, in int8.

A snapshot is a .safetensors file with the tensors of `int8_rows.quantized` and, as JSON texts, its
step, its loss and a checksum. Reading one runs no code from it.
"""

import json
import math
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from safetensors import SafetensorError, safe_open
from torch import Tensor

from transformer.storage.damage import what_is_wrong
from transformer.storage.int8_rows import check_rows
from transformer.storage.metadata import SNAPSHOT, encode_metadata, take_checksum
from transformer.storage.tensor_file import (
    check_names,
    check_tensor,
    read_tensors,
    write_tensors,
)
from transformer.storage.training_state import READ_ERRORS
from transformer.system.errors import UserError
from transformer.system.files import replacing

FOLDER = Path("snapshots")  # in the folder of a run
_NAME = re.compile(r"step-(\d{6,18})\.safetensors")
_WAY_OUT = "delete it to go on without this moment of the training"


class Snapshot(NamedTuple):
    """`loss` is the train_loss there: the mean over about the last tenth of the steps, in nats."""

    step: int
    loss: float
    path: Path


def snapshot_path(run: Path, step: int) -> Path:
    return run / FOLDER / f"step-{step:06d}.safetensors"


def snapshot_steps(run: Path) -> list[int]:
    """The steps of a run's snapshots, by the names of the files."""
    found = (_NAME.fullmatch(path.name) for path in (run / FOLDER).glob("step-*"))
    return sorted(int(match[1]) for match in found if match)


def write_snapshot(run: Path, step: int, loss: float, weights: Mapping[str, Tensor]) -> Path:
    """Writes the weights as `quantized` rounded them, whole or not at all."""
    path = snapshot_path(run, step)
    texts = encode_metadata({SNAPSHOT: {"step": step, "loss": loss}}, weights)
    with replacing(path) as temporary:
        write_tensors(temporary, weights, texts)
    return path


def delete_snapshot(run: Path, step: int) -> None:
    """A file that cannot be deleted stays."""
    with suppress(OSError):
        snapshot_path(run, step).unlink()


def list_snapshots(run: Path) -> list[Snapshot]:
    """The snapshots in the folder of a run, by step; empty without any. Reads no weights.

    Raises: UserError for a file that is not a snapshot.
    """
    return [_described(snapshot_path(run, step)) for step in snapshot_steps(run)]


def read(snapshot: Snapshot, like: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    """The tensors as they are stored: matrices in int8 beside their scales.

    `like` are the `quantized` weights of the run's model: names, shapes and formats are compared.

    Raises: UserError for a damaged file, and for other tensors than those of `like`.
    """
    try:
        tensors, texts = read_tensors(snapshot.path)
        take_checksum(texts, tensors)
        check_rows(tensors)
        like = tensors if like is None else like
        check_names(like, tensors)
        for name, tensor in tensors.items():
            check_tensor(name, tensor, like[name].shape)
            if tensor.dtype != like[name].dtype:
                raise ValueError(f"{name} is {tensor.dtype}, not {like[name].dtype}")
    except (SafetensorError, *READ_ERRORS) as error:
        raise _damaged(snapshot.path, error) from None
    return tensors


def _described(path: Path) -> Snapshot:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            texts = file.metadata() or {}
        about = json.loads(texts[SNAPSHOT])
        step, loss = about["step"], about["loss"]
        if type(step) is not int or snapshot_path(path.parent.parent, step) != path:
            raise ValueError(f"its step is {step!r}")
        if type(loss) is not float or not math.isfinite(loss):
            raise ValueError(f"its loss is {loss!r}")
    except (SafetensorError, *READ_ERRORS) as error:
        raise _damaged(path, error) from None
    return Snapshot(step, loss, path)


def _damaged(path: Path, error: Exception) -> UserError:
    reason = what_is_wrong(error)
    return UserError(f"{path}: damaged or not a snapshot of a run: {reason}; {_WAY_OUT}")
