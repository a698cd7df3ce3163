"""The groups of Linux that limit what a process gets, as a container does."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

OWN, MOUNTS = "/proc/self/cgroup", "/sys/fs/cgroup"


def groups_of(controller: str, own: str = OWN, mounts: str = MOUNTS) -> Iterator[tuple[int, Path]]:
    """The folders of this process's group and of each group around it, with their version, 1 or 2.

    Some may not be there. None where there are no such groups.
    """
    with suppress(OSError, ValueError):  # no Linux, or no such lines
        for line in Path(own).read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "":
                mounted, version = [Path(mounts)], 2
            elif controller in controllers.split(","):
                mounted, version = [Path(mounts, controller), Path(mounts, controllers)], 1
            else:
                continue
            for folder in mounted:
                for group in _and_parents(folder, path):
                    yield version, group


def _and_parents(mount: Path, path: str) -> Iterator[Path]:
    group = mount / path.lstrip("/")
    while group != mount and mount in group.parents:
        yield group
        group = group.parent
    yield mount
