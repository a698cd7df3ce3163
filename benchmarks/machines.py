"""Two network namespaces that act as two machines, for devices.py."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple


class Machine(NamedTuple):
    """The prefix of commands that run there, the address, and the network device."""

    prefix: list[str]
    address: str
    interface: str


@contextmanager
def two_machines() -> Iterator[list[Machine]]:
    """Two connected network namespaces; if they cannot be made, this machine twice."""
    names, wires = ("machine_0", "machine_1"), ("wire_0", "wire_1")
    there = [
        Machine(["ip", "netns", "exec", names[i]], f"10.77.0.{i + 1}", wires[i]) for i in (0, 1)
    ]
    commands = [f"netns add {name}" for name in names]
    ends = [f"{wire} netns {name}" for wire, name in zip(wires, names, strict=True)]
    commands.append(f"link add {ends[0]} type veth peer name {ends[1]}")
    for name, machine in zip(names, there, strict=True):
        commands.append(f"-n {name} addr add {machine.address}/24 dev {machine.interface}")
        commands += [f"-n {name} link set {device} up" for device in (machine.interface, "lo")]
    try:
        try:
            for command in commands:
                subprocess.run(["ip", *command.split()], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            there = [Machine([], "127.0.0.1", "lo") for _ in names]
        yield there
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
