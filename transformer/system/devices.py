"""The devices of this machine by name."""

import os
import platform
from pathlib import Path

import torch

from transformer.system.errors import UserError


def resolve_accelerator(accelerator: str) -> str:
    """`cpu`, `cuda` or `mps`; auto takes the fastest there is.

    Raises: UserError where the one asked for is not there.
    """
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if accelerator not in (*available, "auto"):
        raise UserError(f"device must be auto, {', '.join(available)}, got {accelerator!r}")
    if accelerator == "auto":
        return next(name for name, there in available.items() if there)
    if not available[accelerator]:
        others = ", ".join(name for name, there in available.items() if there)
        raise UserError(
            f"{accelerator}: torch {torch.__version__} finds no such device on this machine; "
            f"it has {others}: give one of these, or auto"
        )
    return accelerator


def has_bf16(accelerator: str) -> bool:
    """Instructions for bfloat16 products: CUDA from Ampere on, x86 with AVX512-BF16 or AMX."""
    if accelerator == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return accelerator == "cpu" and torch.cpu._is_avx512_bf16_supported()


def available_cores() -> int:
    """Cores that this process may use: fewer than the machine has in many containers."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def device_name(device: torch.device) -> str:
    """What a person would call it: the GPU's or the processor's name."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{processor_name()} ({device.type}, {torch.get_num_threads()} threads)"


def processor_name() -> str:
    """The kernel's name of the processor where it gives one: Python's is often empty."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
