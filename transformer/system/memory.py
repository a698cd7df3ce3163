"""How the C library keeps memory that was freed, and how much a container has left."""

import ctypes
import math
import os
import sys
from collections.abc import Iterator
from contextlib import suppress

from transformer.system.cgroups import MOUNTS, OWN, groups_of

# The names of malloc.h, and the highest values that the GNU C library takes.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_NEVER, _LARGEST_KEPT = 2**30, 2**25
_SET_BY_USER = ("MALLOC_", "GLIBC_TUNABLES")


def keep_freed_memory() -> None:
    """From now on, freed memory stays with the process, except for blocks above 32 MiB.

    Otherwise a thread gives back the result of nearly every operation, and fetching memory for the
    next one takes an eighth of a forward pass. Nothing changes where there is no GNU C library, or
    where the user has told it how to keep memory.
    """
    if sys.platform != "linux" or any(name.startswith(_SET_BY_USER) for name in os.environ):
        return
    with suppress(OSError, AttributeError):  # as in musl, which has no such function
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_KEPT)
        mallopt(_M_TRIM_THRESHOLD, _NEVER)


def memory_of_container(own: str = OWN, mounts: str = MOUNTS) -> float:
    """Bytes that the container of this process has left; infinity where nothing limits it."""
    return min(_left(own, mounts), default=math.inf)


def _left(own: str, mounts: str) -> Iterator[float]:
    """In this process's group and in each group around it.

    Files that were read count as used until the memory is needed, except for busy ones.
    """
    for version, group in groups_of("memory", own, mounts):
        names = ("memory.max", "memory.current", "inactive_file")
        if version == 1:
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        with suppress(OSError, ValueError, IndexError):  # no number: no limit
            limit, used = (int((group / n).read_text(encoding="utf-8")) for n in names[:2])
            facts = (group / "memory.stat").read_text(encoding="utf-8")
            idle = int(f"\n{facts}".partition(f"\n{names[2]} ")[2].split()[0])
            yield float(max(0, limit - used + idle))
