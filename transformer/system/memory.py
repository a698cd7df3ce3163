"""How the C library keeps memory that was freed."""

import ctypes
import os
import sys
from contextlib import suppress

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
