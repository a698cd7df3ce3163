"""Compares the checkpoints and curves of two runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from transformer.storage.events import read_scalars
from transformer.storage.model_file import load_model
from transformer.storage.run_folder import LAST, WEIGHTS
from transformer.storage.snapshots import snapshot_path, snapshot_steps
from transformer.storage.training_state import read_training_state

CURVES = ("train_loss", "grad_norm", "lr", "val_loss")


def differences(one: Path, other: Path) -> list[str]:
    """Names of the parts and curves that differ between two runs; times are not compared.

    Snapshots are compared as files, byte by byte.
    """
    states = [_state(run) for run in (one, other)]
    names = [name for name in states[0] if not equal(states[0][name], states[1].get(name))]
    if _snapshots(one) != _snapshots(other):
        names.append("snapshots")
    both = [curves(run) for run in (one, other)]
    return names + [name for name in CURVES if both[0][name] != both[1][name]]


def equal(one: Any, other: Any) -> bool:
    """Compares containers item by item, and tensors exactly, without a tolerance."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return torch.equal(one, other)
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return set(one) == set(other) and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, Sequence) and isinstance(other, Sequence) and not isinstance(one, str):
        return len(one) == len(other) and all(map(equal, one, other))
    return type(one) is type(other) and one == other


def _state(run: Path) -> dict[str, Any]:
    content = read_training_state(run / LAST)
    parts = {
        "weights": content["state_dict"],
        "optimizer": content["optimizer_states"],
        "learning rate": content["lr_schedulers"],
        "random numbers": content["callbacks"]["RandomState"],
    }
    data = {
        name: part["examples_consumed"]
        for name, part in content.items()
        if isinstance(part, dict) and "examples_consumed" in part
    }
    best = load_model(run / WEIGHTS).model.state_dict()
    return parts | {"best weights": best, "data": data, "step": content["global_step"]}


def _snapshots(run: Path) -> list[tuple[int, bytes]]:
    return [(step, snapshot_path(run, step).read_bytes()) for step in snapshot_steps(run)]


def curves(run: Path, names: Sequence[str] = CURVES) -> dict[str, list[tuple[int, float]]]:
    found = read_scalars(run, names)
    return {name: [(point.step, point.value) for point in found[name]] for name in names}
