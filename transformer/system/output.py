"""Output that does not fail on a closed pipe or terminal, or a full disk. No torch."""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from typing import Any

_LOST = (OSError, ValueError)  # a file object that was closed raises ValueError


class LastingStream:
    """A text stream whose writes never fail: text that cannot be written is dropped.

    Characters that the encoding lacks are written as escapes.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            self._stream.write(text)
        except UnicodeEncodeError as error:
            plain = text.encode(error.encoding, "backslashreplace").decode(error.encoding)
            with suppress(*_LOST):
                self._stream.write(plain)
        except _LOST:
            pass
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        with suppress(*_LOST):
            self._stream.flush()

    def isatty(self) -> bool:
        with suppress(*_LOST):
            return self._stream.isatty()
        return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def lasting_output() -> Iterator[None]:
    """Within the block, sys.stdout and sys.stderr are LastingStreams, also for libraries."""
    with (
        open(os.devnull, "w", encoding="utf-8") as nowhere,
        redirect_stdout(LastingStream(sys.stdout or nowhere)),
        redirect_stderr(LastingStream(sys.stderr or nowhere)),
    ):
        yield


def fill_closed_descriptors() -> None:
    """Opens stdin, stdout and stderr on os.devnull where a shell's `>&-` has closed them.

    Otherwise the next opened file would get such a descriptor, and libraries would print into it.
    """
    descriptor = os.open(os.devnull, os.O_RDWR)
    while descriptor <= 2:
        os.set_inheritable(descriptor, True)  # as standard descriptors are
        descriptor = os.open(os.devnull, os.O_RDWR)
    os.close(descriptor)
