"""Output that outlives its reader: a closed pipe or terminal, a full disk. No torch."""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

# ValueError: of a file object that was closed.
_LOST = (OSError, ValueError)


class LastingStream:
    """A text stream to which writing never fails: what it cannot take is lost, and nothing else.

    Characters that its encoding lacks are written as escapes.
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
        try:
            return self._stream.isatty()
        except _LOST:
            return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def lasting_output() -> Iterator[None]:
    """stdout and stderr are such streams within the block, whoever writes to them."""
    before = sys.stdout, sys.stderr
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        sys.stdout, sys.stderr = (_lasting(stream or nowhere) for stream in before)
        try:
            yield
        finally:
            sys.stdout, sys.stderr = before


def _lasting(stream: Any) -> Any:
    return stream if isinstance(stream, LastingStream) else LastingStream(stream)


def fill_closed_descriptors() -> None:
    """Opens what a shell's `>&-` has closed, on nothing: the next file that is opened would take
    its number, and what libraries print would go into that file.
    """
    descriptor = os.open(os.devnull, os.O_RDWR)
    while descriptor <= 2:
        os.set_inheritable(descriptor, True)  # as the three are
        descriptor = os.open(os.devnull, os.O_RDWR)
    os.close(descriptor)
