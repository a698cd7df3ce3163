"""The devices of a run, in Lightning's words, and whether its model is compiled."""

import importlib.util
import math
import os
import shutil
from dataclasses import dataclass
from typing import Any

import torch

from transformer.system.devices import resolve_accelerator
from transformer.system.errors import UserError
from transformer.system.processes import knows_its_machine, launched_sizes

# Of a run whose steps are CUDA graphs: compiling takes 34 s on an H200 with a slow host, and then
# saves 8 of the 16 ms of a step of 1.05 * 10^12 operations.
COMPILED_PETAFLOP = 4.5

# Lightning's names for our number formats: mixed means that weights stay float32.
PRECISIONS = {"float32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}


def resolve_compile(
    compile_model: bool | str, accelerator: str, strategy: str, petaflop: float = math.inf
) -> bool:
    """auto compiles on CUDA, but not with fsdp, and not if the run's arithmetic is short.

    `petaflop` are 10^15 floating-point operations.
    """
    if compile_model == "auto":
        return accelerator == "cuda" and strategy != "fsdp" and petaflop >= COMPILED_PETAFLOP
    return bool(compile_model)


def has_compiler(accelerator: str) -> bool:
    """Whether torch.compile finds a compiler: Triton on a GPU, a C++ compiler on a CPU."""
    if accelerator == "cuda":
        return importlib.util.find_spec("triton") is not None
    names = (os.environ.get("CXX"), "g++", "clang++", "c++", "cl")
    return any(name is not None and shutil.which(name) for name in names)


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """Where and how a run computes; each field is a key of a config."""

    accelerator: str
    devices: int | str
    num_nodes: int
    strategy: str
    precision: str


def trainer_arguments(hardware: Hardware) -> dict[str, Any]:
    """The arguments of pl.Trainer for these settings.

    Raises: UserError for devices that do not exist, for fp16 on a CPU, and if torchrun or SLURM has
    started processes for other numbers of devices or nodes.
    """
    accelerator = resolve_accelerator(hardware.accelerator)
    precision = hardware.precision
    check_precision(precision, accelerator)
    devices, num_nodes = _as_launched(hardware.devices, hardware.num_nodes)
    found = torch.cuda.device_count() if accelerator == "cuda" else None
    if devices == "auto":  # more processes on one CPU would share its cores
        devices = found or 1
    if found is not None and int(devices) > found:
        raise UserError(f"devices is {devices}, but {found} are found here: give `devices={found}`")
    return {
        "accelerator": accelerator,
        "devices": devices,
        "num_nodes": num_nodes,
        "strategy": hardware.strategy,
        "precision": PRECISIONS[precision],
    }


def check_precision(precision: str, accelerator: str) -> None:
    """Raises: UserError for fp16 on a CPU, where Lightning would take bf16 instead."""
    if precision == "fp16" and accelerator == "cpu":
        raise UserError("precision fp16 needs a GPU, and accelerator is cpu: give bf16 or float32")


def check_polar(polar: str, precision: str, accelerator: str) -> None:
    """Raises: UserError for inverses in bf16, which has no digits for them, and on a GPU."""
    if polar == "zolotarev" and (accelerator != "cpu" or precision == "bf16"):
        why = (
            f"precision is {precision}" if accelerator == "cpu" else f"accelerator is {accelerator}"
        )
        raise UserError(
            f"polar zolotarev needs a CPU and precision float32, and {why}: give polar_express"
        )


def _as_launched(devices: int | str, num_nodes: int) -> tuple[int | str, int]:
    """The numbers of devices and nodes from torchrun or SLURM, otherwise from the config."""
    sizes = launched_sizes()
    if sizes is None:
        if num_nodes > 1 and not knows_its_machine():
            raise UserError(
                f"num_nodes is {num_nodes}, but nothing says which machine this is: start with "
                "torchrun or srun, or set NODE_RANK, MASTER_ADDR and MASTER_PORT"
            )
        return devices, num_nodes
    given = {"devices": devices, "num_nodes": num_nodes}
    for (name, value), launched in zip(given.items(), sizes, strict=True):
        if value not in (1, "auto", launched):
            raise UserError(
                f"{name} is {value}, but torchrun or srun has started {launched}: leave out "
                f"`{name}`, or give the same number"
            )
    return sizes
