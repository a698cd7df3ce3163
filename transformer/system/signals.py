"""Signals that ask a program to end, handled cleanly during training. No torch."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

# SLURM's --signal=USR1@120 sends SIGUSR1 before it ends a job. A terminal that is closed sends
# SIGHUP. Windows has neither.
SIGNALS = tuple(n for n in signal.Signals if n.name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP"))
_HANGUP = getattr(signal, "SIGHUP", None)
_NOTHING_SET = (signal.SIG_DFL, signal.default_int_handler)


class Interrupted(BaseException):
    """Signal `number` asked a run to end. Not an Exception, as libraries swallow these."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_status = 128 + number


class Signals:
    """Stores the first signal in `received`, so that the run can end at a good moment.

    A second signal ends the process at once, except SIGHUP, which shells and systemd send right
    after another signal.
    """

    def __init__(self) -> None:
        self.received = 0
        self._raises = False

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Receives signals within the block, and restores the previous handlers after it.

        Only the main thread may set handlers: in another thread this does nothing.
        """
        with _handled_by(self._receive, [n for n in SIGNALS if _may_be_replaced(n)]):
            yield

    @contextmanager
    def raised(self) -> Iterator[None]:
        """A signal raises Interrupted within the block; an earlier one does so at its start."""
        self._raises = True
        try:
            self.check()
            yield
            self.check()  # a library may have swallowed it
        finally:
            self._raises = False

    def check(self) -> None:
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
    """A signal ends the process at once, without an exception that an import could swallow.

    Signals that already have a handler keep it.
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
    """False for a handler set by C code, which Python cannot restore, and for nohup's SIGHUP."""
    handler = signal.getsignal(number)
    return handler is not None and not (number == _HANGUP and handler is signal.SIG_IGN)
