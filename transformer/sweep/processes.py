"""Starts the processes of a sweep, and finds out how they ended. Imports no torch."""

import multiprocessing
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any

from transformer.sweep.trial import Trial
from transformer.sweep.worker import STOP, Job, work

_IMPORTED_ONCE = ["transformer.sweep.preloaded"]
# A signal to a whole group of processes ends this one, too, before a run counts as failed.
_SECONDS_FOR_A_GROUP = 0.5


class Worker:
    """A process that trains one trial, at a place: the CUDA device that it sees, or None."""

    def __init__(self, trial: Trial, place: str | None, job: Job) -> None:
        self.trial = trial
        self.place = place
        self._log = job.log
        self._started_at = time.monotonic()
        self._channel, theirs = multiprocessing.Pipe()
        self._process = _context().Process(target=work, args=(job, theirs), name=trial.name)
        self._process.start()
        theirs.close()

    @property
    def elapsed_seconds(self) -> float:
        return time.monotonic() - self._started_at

    @property
    def has_ended(self) -> bool:
        return not self._process.is_alive()

    @property
    def sentinel(self) -> int:
        return self._process.sentinel

    def ask_to_stop(self) -> None:
        """The run then saves its state and ends. On Windows, Ctrl+C reaches it without our help."""
        if sys.platform != "win32":
            with suppress(OSError):
                self._channel.send_bytes(STOP)

    def join(self) -> str | None:
        """Waits for the end of the process; returns in words why its run failed, if it did."""
        self._process.join()
        status = self._process.exitcode or 0
        reason = _received(self._channel)
        self._channel.close()
        if (status < 0 or status > 128) and reason is None:
            time.sleep(_SECONDS_FOR_A_GROUP)
        if reason is None and status:
            reason = f"its process {_end_in_words(status)}: see {self._log}"
        return reason


def _end_in_words(status: int) -> str:
    """How a process ended, by its exit status: the number of a signal is negative, or 128 more."""
    number = -status if status < 0 else status - 128
    if number not in {*signal.Signals}:
        return f"ended with status {status}"
    name = signal.Signals(number).name
    return f"was ended by {name}" + ", perhaps for lack of memory" * (name == "SIGKILL")


def wait_for_some(workers: Sequence[Worker], seconds: float) -> list[Worker]:
    """Those that have ended, after so many seconds at most."""
    wait([worker.sentinel for worker in workers], seconds)
    return [worker for worker in workers if worker.has_ended]


def _received(channel: Connection) -> str | None:
    try:
        return channel.recv_bytes().decode() if channel.poll() else None
    except (EOFError, OSError):
        return None


def _context() -> Any:  # the types of the contexts do not say that they have processes
    """How processes begin. On Linux one process imports torch, and all others are copies of it.

    Other systems' libraries may not survive to be copied.
    """
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_IMPORTED_ONCE)
    return context
