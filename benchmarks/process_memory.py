"""Time and memory of a whole run with all the processes that it starts, on Linux."""

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup/memory")  # of cgroups, version 1


@contextmanager
def limited_group(num_bytes: int) -> Iterator[Path | None]:
    """A group of processes with so much memory, pages of files included; None where none can be."""
    group = GROUPS / f"corpus-benchmark-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(num_bytes))
    except OSError:
        group = None
    try:
        yield group
    finally:
        for _ in range(50 if group else 0):  # ended processes leave it a little later
            with suppress(OSError):
                group.rmdir()
                break
            time.sleep(0.1)


class PeakMemory(threading.Thread):
    """The most memory that a process and all that it has started had together."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.root, self.peak, self.ended = pid, 0, threading.Event()

    def run(self) -> None:
        while not self.ended.wait(0.1):
            self.peak = max(self.peak, sum(map(_anonymous_bytes, _family(self.root))))


def _family(root: int) -> list[int]:
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue
    found = [root]
    for one in found:
        found += [pid for pid, parent in parents.items() if parent == one]
    return found


def _anonymous_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


def measured(command: list[str], group: Path | None) -> dict[str, float]:
    """Seconds and peak bytes of a whole process."""

    def join() -> None:
        if group:
            (group / "cgroup.procs").write_text(str(os.getpid()))

    started_at = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, preexec_fn=join)
    memory = PeakMemory(process.pid)
    memory.start()
    if process.wait():
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    memory.ended.set()
    memory.join()
    return {"seconds": time.perf_counter() - started_at, "gigabytes": memory.peak / 1e9}
