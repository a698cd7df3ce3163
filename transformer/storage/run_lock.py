"""A file `training.lock` in a run's folder lets only one process train there. No torch.

The operating system holds the lock, and releases it however the process ends. The file's text says
who holds it. Machines that share the folder may not see the lock. For them its holder renews the
file's time every few seconds.
"""

import errno
import json
import logging
import os
import platform
import sys
import threading
import time
import weakref
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

from transformer.system.errors import UserError
from transformer.system.processes import is_rank_0, job_id

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

LOCK = Path("training.lock")
BEAT_SECONDS = 5.0
SILENT_SECONDS = 20.0  # a holder elsewhere has ended if it has not renewed its file for so long
TRIES = 5  # `holder_of` in another process may hold the lock for an instant
_REFUSED = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK)
_LOCKED_BYTE = 2**30  # far behind the text, as Windows lets no one read a locked byte

log = logging.getLogger(__name__)


class Holder(NamedTuple):
    """Who holds a lock, according to its file; empty if the file does not tell."""

    host: str = ""
    pid: int = 0
    parent: int = 0
    started_at: str = ""
    machine: str = ""
    job: str | None = None

    @classmethod
    def this_process(cls) -> "Holder":
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        return cls(platform.node(), os.getpid(), os.getppid(), now, _machine(), job_id())

    @classmethod
    def read(cls, path: Path) -> "Holder":
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return cls(**{name: found[name] for name in cls._fields})
        except (OSError, ValueError, KeyError, TypeError):
            return cls()

    @property
    def is_elsewhere(self) -> bool:
        """Whether it runs on another machine, whose locks may not be seen here."""
        return self.machine not in ("", _machine())

    @property
    def is_our_rank_0(self) -> bool:
        """Whether the holder is rank 0 of the run that this process belongs to."""
        if is_rank_0():
            return False
        if self.job is not None and self.job == job_id():
            return True
        return self.machine == _machine() and os.getppid() in (self.pid, self.parent)

    def __str__(self) -> str:
        if not self.pid:
            return "another process"
        return f"process {self.pid} on {self.host}, started at {self.started_at},"


class RunLock(AbstractContextManager["RunLock"]):
    """Keeps other processes from training in a folder, from `take` until the `with` block ends.

    Only rank 0 takes the lock, as a run's other processes write nothing.
    """

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._path = LOCK
        self._ended = threading.Event()
        self._beats = threading.Thread()
        if hasattr(os, "register_at_fork"):  # a child would hold the lock too, perhaps for longer
            forget = weakref.WeakMethod(self._forget)
            os.register_at_fork(after_in_child=lambda: (method := forget()) and method())

    def __exit__(self, *_: object) -> None:
        self.release()

    def take(self, folder: Path) -> None:
        """Locks this folder, and releases the lock of an earlier one.

        Raises: UserError if another process trains there; OSError if the file cannot be written.
        """
        if not is_rank_0():
            return
        self.release()
        path = folder / LOCK
        file, is_locked = _open_and_lock(path)
        before = Holder.read(path)
        unseen = before.is_elsewhere or is_locked is None
        if file is None or (before.pid and unseen and _is_renewed(path, before)):
            if file is not None:
                file.close()
            raise UserError(
                f"{folder}: {before} is training this run: stop it or wait for its end, or start "
                f"another run; if there is no such process, delete {path}"
            )
        if not _is_at(file, path):  # the previous holder has ended and removed the file
            file.close()
            return self.take(folder)
        if before.pid:
            log.info("%s: %s has ended without removing its lock; this one goes on", folder, before)
        with suppress(OSError):  # such as a full disk: the lock works without a text
            file.truncate(0)
            file.write(json.dumps(Holder.this_process()._asdict()).encode())
        self._file, self._path = file, path
        self._ended.clear()
        self._beats = threading.Thread(target=self._renew, args=(file,), daemon=True)
        self._beats.start()

    def is_at(self, folder: Path) -> bool:
        """Whether the locked file is still in this folder: not moved, removed or replaced."""
        return self._file is not None and _is_at(self._file, folder / LOCK)

    def release(self) -> None:
        """Removes the file too, if it is still the locked one."""
        if self._file is None:
            return
        self._ended.set()
        self._beats.join()
        mine = _is_at(self._file, self._path)
        if sys.platform == "win32":  # cannot remove an open file
            self._forget()
        with suppress(OSError):
            if mine:
                self._path.unlink()
        self._forget()

    def _forget(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _renew(self, file: IO[bytes]) -> None:
        """Renews the file's time: by its descriptor if possible, which also finds a moved file."""
        place = file.fileno() if os.utime in os.supports_fd else self._path
        while not self._ended.wait(BEAT_SECONDS):
            with suppress(OSError):
                os.utime(place)


def holder_of(folder: Path) -> Holder | None:
    """Who trains in a run's folder, judged without waiting; None for nobody or our own run."""
    path = folder / LOCK
    try:
        with open(path, "rb", buffering=0) as file:
            holder = Holder.read(path)
            is_locked = _lock(file, shared=True)
            age = time.time() - os.fstat(file.fileno()).st_mtime
    except OSError:
        return None
    has_ended = is_locked and not holder.is_elsewhere
    is_silent = is_locked is not False and age > SILENT_SECONDS
    return None if has_ended or is_silent or holder.is_our_rank_0 else holder


def _open_and_lock(path: Path) -> tuple[IO[bytes] | None, bool | None]:
    """The file, and whether it is locked as in `_lock`; no file if another process holds it."""
    for _ in range(TRIES):
        file = open(path, "a+b", buffering=0)  # noqa: SIM115  it stays open
        is_locked = _lock(file)
        if is_locked is None or (is_locked and _is_at(file, path)):  # not removed in between
            return file, is_locked
        file.close()
        time.sleep(0.1)
    return None, False


def _lock(file: IO[bytes], *, shared: bool = False) -> bool | None:
    """Tries to lock the file; returns whether it did, or None if the file system has no locks."""
    try:
        if sys.platform == "win32":
            file.seek(_LOCKED_BYTE)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
            fcntl.flock(file, kind | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in _REFUSED else None
    return True


def _is_at(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError:
        return False


def _is_renewed(path: Path, holder: Holder) -> bool:
    """Whether the file's time changes: the clocks of two machines need not agree for this."""
    log.info("waiting up to %.0f s to see if %s still trains this run", SILENT_SECONDS, holder)
    before, ends_at = _modified_at(path), time.monotonic() + SILENT_SECONDS
    while time.monotonic() < ends_at:
        time.sleep(BEAT_SECONDS / 10)
        if (now := _modified_at(path)) != before:
            return now is not None
    return False


def _modified_at(path: Path) -> Any:
    try:
        with open(path, "rb") as file:  # opening makes a network file system look again
            return os.fstat(file.fileno()).st_mtime_ns
    except OSError:
        return None


def _machine() -> str:
    """An id of this machine until it restarts; its containers share it, as they share locks."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    return platform.node()
