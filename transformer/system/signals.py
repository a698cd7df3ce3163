"""Signals that ask a program to end: heard while a run trains, at once at other times. No torch."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

# SIGUSR1 is what SLURM's --signal=USR1@120 sends before it ends a job, SIGHUP what a terminal sends
# that is closed. Windows has neither.
SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP")
    if hasattr(signal, name)
)
_HANGUP = getattr(signal, "SIGHUP", None)
_NOTHING_SET = (signal.SIG_DFL, signal.default_int_handler)


class Interrupted(BaseException):
    """A run was asked to end by `number`. No Exception: libraries swallow these."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_status = 128 + number


class Signals:
    """The first signal that comes is `received`, for the run to end when it can.

    A second one ends the process at once, unless it is a hangup: shells and systemd send that one
    right behind another.
    """

    def __init__(self) -> None:
        self.received = 0
        self._raises = False

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Until the block ends, when the handlers of before are back.

        Only the main thread may set handlers: in another one, nothing is heard.
        """
        with _handled_by(self._receive, [n for n in SIGNALS if _may_be_replaced(n)]):
            yield

    @contextmanager
    def raised(self) -> Iterator[None]:
        """A signal raises Interrupted where the block is, and one that came before it at once."""
        self._raises = True
        try:
            self.check()
            yield
            self.check()  # a library may have swallowed it
        finally:
            self._raises = False

    def check(self) -> None:
        """Raises: Interrupted where a signal has come."""
        if self.received:
            raise Interrupted(self.received)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received:
            if number != _HANGUP:
                os._exit(128 + number)
            return
        self.received = number
        if self._raises:
            self.check()


@contextmanager
def ended_at_once(signals: Sequence[int] = (signal.SIGINT,)) -> Iterator[None]:
    """A signal ends the process, without an exception: an import may swallow that.

    Signals for which the process has a handler of its own are left to that.
    """
    free = [number for number in signals if signal.getsignal(number) in _NOTHING_SET]
    with _handled_by(lambda number, _: os._exit(128 + number), free):
        yield


@contextmanager
def _handled_by(
    handler: Callable[[int, FrameType | None], Any], signals: Sequence[int]
) -> Iterator[None]:
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, handler) for number in signals}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


def _may_be_replaced(number: int) -> bool:
    """Not a handler that C code has set: it could not be put back. Nor what nohup ignores."""
    handler = signal.getsignal(number)
    return handler is not None and not (number == _HANGUP and handler is signal.SIG_IGN)
