"""The devices of this machine by name."""

import platform

import torch

from transformer.errors import UserError


def resolve_accelerator(accelerator: str) -> str:
    """`cpu`, `cuda` or `mps`; auto takes the fastest there is.

    Raises: UserError where the one asked for is not there.
    """
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if accelerator == "auto":
        return next(name for name, there in available.items() if there)
    if not available[accelerator]:
        others = ", ".join(name for name, there in available.items() if there)
        raise UserError(
            f"{accelerator}: torch {torch.__version__} finds no such device on this machine; "
            f"it has {others}: give one of these, or auto"
        )
    return accelerator


def device_name(device: torch.device) -> str:
    """What a person would call it: the GPU's or the processor's name."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = platform.processor() or platform.machine()
    return f"{name} ({device.type}, {torch.get_num_threads()} threads)"
