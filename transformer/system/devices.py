"""Which devices this machine has, and their names."""

import platform
import sys
from functools import cache
from hashlib import sha256
from pathlib import Path

import torch

from transformer.system.errors import UserError


def resolve_accelerator(accelerator: str) -> str:
    """`cpu`, `cuda` or `mps`; `auto` takes the fastest one of this machine.

    Raises: UserError for an unknown name, and for a device that this machine does not have.
    """
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    present = [name for name, there in available.items() if there]
    if accelerator not in (*available, "auto"):
        raise UserError(f"device must be one of auto, {', '.join(available)}, got {accelerator!r}")
    if accelerator == "auto":
        return present[0]
    if not available[accelerator]:
        raise UserError(
            f"{accelerator}: torch {torch.__version__} finds no such device on this machine; "
            f"it has {', '.join(present)}: give one of these, or auto"
        )
    return accelerator


def has_bf16(accelerator: str) -> bool:
    """Whether a GPU multiplies bfloat16 in hardware: CUDA from Ampere on."""
    return accelerator == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def has_fp16(accelerator: str) -> bool:
    """Whether a GPU multiplies float16 faster than float32: CUDA from Volta on, such as a T4."""
    if accelerator != "cuda" or not torch.backends.cuda.is_built():
        return False
    return torch.cuda.get_device_capability() >= (7, 0)


def device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{processor_name()} ({device.type}, {torch.get_num_threads()} threads)"


@cache  # the file has hundreds of lines for each of many cores
def processor_name() -> str:
    """The processor's model name on Linux; elsewhere Python's name, which may be less exact."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


# What tells apart processors of one name: hypervisors call many "Intel(R) Xeon(R) Processor", and
# Linux on ARM gives no name.
_KIND = ("vendor_id", "cpu family", "model", "stepping", "CPU implementer", "CPU part")
_INSTRUCTIONS = ("flags", "Features")


def processor_details(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """What tells this processor from others of the same name, by the first of those in `cpuinfo`.

    Where there is no such file, it is what Python knows of the platform.
    """
    try:
        first = cpuinfo.read_text(encoding="utf-8").partition("\n\n")[0]
    except (OSError, ValueError):
        known = (platform.machine(), platform.processor(), platform.version())
        return f"platform {_short_hash(*known)}"
    pairs = (line.partition(":") for line in first.splitlines())
    facts = {name.strip(): value.strip() for name, _, value in pairs}
    kind = [f"{name} {facts[name]}" for name in _KIND if name in facts]
    instructions = [facts[name] for name in _INSTRUCTIONS if name in facts]
    return ", ".join([*kind, f"instructions {_short_hash(*instructions)}"])


def _short_hash(*parts: str) -> str:
    return sha256("\n".join(parts).encode()).hexdigest()[:8]


def used_memory(device: torch.device) -> int | None:
    """Peak memory in bytes: what torch has reserved on a GPU, otherwise that of this process.

    None where that is not known, as on Windows.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device)
    try:
        import resource  # not on Windows
    except ImportError:
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most
