"""The cores that this process may use, and how its threads wait for each other."""

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from transformer.system.cgroups import MOUNTS, OWN, groups_of

# Turns that a thread waits at full speed before it sleeps. By default it does so for the length of
# a whole operation, on a core that another program may need to get that operation done; where no
# other program is, to wake from sleep takes longer than many turns (`benchmarks/busy_cores.py`).
SPINS_ALONE, SPINS_BESIDE_OTHERS = "5000", "1000"
_LOOK_SECONDS = 0.05
_USED = 50.0  # percent of one core

_THREADS = "OMP_NUM_THREADS"
_set_here: set[str] = set()


def available_cores(own: str = OWN, mounts: str = MOUNTS) -> int:
    """How many cores this process may use: in a container often fewer than the machine has.

    A share of a core counts as one. Both limits of Linux are read: which cores (affinity), and how
    much time on them (the quota of cgroups, version 1 or 2).
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, math.ceil(min([cores or 1, *_quotas(own, mounts)])))


def others_use_cores() -> bool:
    """Whether programs use as much as half a core of those of this process, which sleeps here."""
    used = psutil.cpu_percent(_LOOK_SECONDS, percpu=True)
    own = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(len(used))
    return sum(used[core] for core in own if core < len(used)) >= _USED


def prepare_threads() -> None:
    """Sets what torch's threads read when torch is imported; what the user has set stays."""
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
        spins = SPINS_BESIDE_OTHERS if others_use_cores() else SPINS_ALONE
        os.environ["GOMP_SPINCOUNT"] = spins
    if available_cores() < (os.cpu_count() or 1) and _THREADS not in os.environ:
        os.environ[_THREADS] = str(available_cores())
        _set_here.add(_THREADS)


def leave_threads_to_lightning(num_threads: int | str) -> None:
    """Several processes share the cores: Lightning divides them, where nobody has set a number."""
    for name in _set_here:
        os.environ.pop(name, None)
    _set_here.clear()
    if num_threads != "auto":
        os.environ[_THREADS] = str(num_threads)


def _quotas(own: str, mounts: str) -> Iterator[float]:
    """The limits in cores of this process's group and of each group around it."""
    for version, group in groups_of("cpu", own, mounts):
        with suppress(OSError, ValueError, ZeroDivisionError):
            yield _quota_2(group) if version == 2 else _quota_1(group)


def _quota_2(group: Path) -> float:
    """The file holds `max 100000`, or the microseconds in each of as many: `150000 100000`."""
    quota, period = (group / "cpu.max").read_text(encoding="utf-8").split()
    return math.inf if quota == "max" else int(quota) / int(period)


def _quota_1(group: Path) -> float:
    """-1 means no limit."""
    quota, period = (
        int((group / f"cpu.cfs_{name}_us").read_text(encoding="utf-8"))
        for name in ("quota", "period")
    )
    return math.inf if quota < 0 else quota / period


def threads_of_each(num_processes: int) -> int:
    """Of processes that share the cores."""
    return max(1, available_cores() // num_processes)
