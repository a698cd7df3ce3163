"""Texts as bytes, and bytes as texts, also where they are no UTF-8. Imports no torch.

A file that is no UTF-8 is read with Python's `surrogateescape`: each byte that does not fit becomes
one lone surrogate, from which `as_bytes` makes the same byte again.
"""

import codecs


def as_bytes(text: str) -> bytes:
    """The UTF-8 of a text; the bytes of a file for a text that was read with surrogateescape."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a lone surrogate that stands for no byte
        return b"".join(
            c.encode("utf-8", "surrogateescape" if "\udc80" <= c <= "\udcff" else "surrogatepass")
            for c in text
        )


def as_text(data: bytes) -> str:
    """Shows U+FFFD in place of what is no UTF-8."""
    return data.decode("utf-8", "replace")


def printable(text: str) -> str:
    """The text, with U+FFFD for what stands for bytes that are no UTF-8."""
    return as_text(as_bytes(text)) if any("\ud800" <= c <= "\udfff" for c in text) else text


def count_characters(data: bytes) -> int | None:
    """The characters that begin in these bytes; None if they are no UTF-8.

    The first and the last character may be incomplete.
    """
    at = 0
    while at < min(3, len(data)) and data[at] & 0xC0 == 0x80:
        at += 1
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(data[at:])
    except UnicodeDecodeError:
        return None
    complete = at + len(text.encode("utf-8"))
    return len(text) + (complete < len(data))


class Joining:
    """Joins the bytes of tokens to a text; a character appears when its last byte is there."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def add(self, data: bytes) -> str:
        return self._decoder.decode(data)

    def rest(self) -> str:
        """U+FFFD for a character that is not complete, and nothing otherwise; changes nothing."""
        return as_text(self._decoder.getstate()[0])
