"""Checks that a run survives a full disk: `python benchmarks/full_disk.py`

A small GPT trains into a file system of its own (a tmpfs, which needs root). The script fills it at
a random moment, and frees it a little later. The existing checkpoint must stay valid, the run must
go on, and it must end like the undisturbed run, bit for bit. An attempt counts only if the run says
that it could not save. The counts go to full_disk.json.
"""

import argparse
import random
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from crash_test import END_SECONDS, FLAGS, start, wait_for_a_checkpoint, write_text
from record import DEFAULT_CONFIG, save

from transformer.run.comparison import differences
from transformer.run.resuming import newest_whole
from transformer.storage.run_folder import LAST
from transformer.system.errors import UserError

MEGABYTES = 48  # room for three checkpoints of 7 MB each, and one half written
FULL_SECONDS = 1.0  # long enough for several saves
COULD_NOT_SAVE = "could not be saved"
LONGER = {"max_steps": 800}  # leaves time to go on afterwards


@contextmanager
def small_disk(place: Path) -> Iterator[None]:
    place.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "tmpfs", str(place)]
    subprocess.run(mount, check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


def keep_full(path: Path, seconds: float) -> None:
    """Fills the disk to the last byte, again and again: a failed save frees what it has written."""
    until = time.monotonic() + seconds
    with open(path, "wb", buffering=0) as file:
        while time.monotonic() < until:
            for size in (2**16, 1):
                with suppress(OSError):
                    while True:
                        file.write(bytes(size))
            time.sleep(0.001)


def run(home: Path, name: str) -> tuple[subprocess.Popen, Path]:
    flags = [f"--{key}={value}" for key, value in (FLAGS | LONGER).items()]
    where = ["--data_path", "text.txt", "--runs_dir", name, "--run_name", "run"]
    return start(
        home, *DEFAULT_CONFIG, *where, *flags, stdout=subprocess.PIPE
    ), home / name / "run" / "version_0"


def attempt(home: Path, number: int, share: float, seconds: float, undisturbed: Path) -> str:
    disk = home / f"disk_{number}"
    with small_disk(disk):
        process, folder = run(home, disk.name)
        wait_for_a_checkpoint(process, folder)
        time.sleep(share * seconds)
        keep_full(disk / "filler", FULL_SECONDS)
        try:
            newest_whole([folder / LAST])
        except UserError:
            return "the checkpoint was damaged"
        (disk / "filler").unlink()
        said, errors = process.communicate(timeout=END_SECONDS)
        if process.returncode:
            return f"exit status {process.returncode}: {errors.splitlines()[-1:]}"
        if COULD_NOT_SAVE not in said:
            return "no save failed"
        found = [name for name in differences(undisturbed, folder) if name in STATE]
        return f"differs in {', '.join(found)}" if found else "kept, and went on"


# The curves are not compared: their points are lost while the disk is full.
STATE = ("weights", "optimizer", "learning rate", "random numbers", "data", "step")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    draw = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        write_text(home)
        process, undisturbed = run(home, "undisturbed")
        wait_for_a_checkpoint(process, undisturbed)
        started_at = time.monotonic()
        process.communicate(timeout=END_SECONDS)
        assert process.returncode == 0
        seconds = time.monotonic() - started_at
        words = [
            attempt(home, number, 0.5 * draw.random(), seconds, undisturbed)
            for number in range(arguments.count)
        ]
    told = Counter(words)
    print(dict(told))
    print(save("full_disk", {"config": FLAGS | LONGER, "times": arguments.count, **told}))


if __name__ == "__main__":
    main()
