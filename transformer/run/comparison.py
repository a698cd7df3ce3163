"""Compares the checkpoints and curves of two runs."""

import math
from collections.abc import Mapping, Sequence
from os.path import isfile
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

    Snapshots are compared as files, byte by byte. If a run was killed, what it wrote after its last
    checkpoint is left out.
    """
    states = [_state(run) for run in (one, other)]
    names = [name for name in states[0] if not equal(states[0][name], states[1].get(name))]
    last_step = max(state["step"] for state in states)
    if not _same_snapshots(one, other, last_step):
        names.append("snapshots")
    both = [curves(run, last_step=last_step) for run in (one, other)]
    return names + [name for name in CURVES if both[0][name] != both[1][name]]


def largest_difference(one: Path, other: Path, what: str) -> float:
    """The largest difference of a weight (`weights`) or of a curve's point in two runs.

    Infinite if one of them has weights or points that the other has not.
    """
    if what == "weights":
        states = [read_training_state(run / LAST)["state_dict"] for run in (one, other)]
        values: list[dict[Any, Any]] = [dict(state) for state in states]
    else:
        values = [dict(curves(run, (what,))[what]) for run in (one, other)]
    if values[0].keys() != values[1].keys():
        return math.inf
    return max((_distance(values[0][key], values[1][key]) for key in values[0]), default=0.0)


def _distance(one: Any, other: Any) -> float:
    one, other = torch.as_tensor(one).double(), torch.as_tensor(other).double()
    if one.shape != other.shape:
        return math.inf
    return float((one - other).abs().max()) if one.numel() else 0.0


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
    path = run / WEIGHTS  # a run that was stopped before its first validation has none
    best = load_model(path).model.state_dict() if isfile(path) else None
    return parts | {"best weights": best, "data": data, "step": content["global_step"]}


def _same_snapshots(one: Path, other: Path, last_step: int) -> bool:
    """Up to a step. A run that was killed after it may have dropped some of these."""
    found = [snapshot_steps(run) for run in (one, other)]
    was_killed = any(step > last_step for step in (*found[0], *found[1]))
    both = [{step for step in steps if step <= last_step} for steps in found]
    if both[0] != both[1] and not was_killed:
        return False
    return all(
        snapshot_path(one, step).read_bytes() == snapshot_path(other, step).read_bytes()
        for step in both[0] & both[1]
    )


def curves(
    run: Path, names: Sequence[str] = CURVES, *, last_step: int | None = None
) -> dict[str, list[tuple[int, float]]]:
    """Up to a step, if one is given; a curve that was never logged has no points."""
    found = read_scalars(run, names)
    points = {name: [(point.step, point.value) for point in found.get(name, [])] for name in names}
    if last_step is None:
        return points
    return {
        name: [each for each in curve if each[0] <= last_step] for name, curve in points.items()
    }
