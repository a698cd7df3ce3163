"""Opens files that may be compressed, by the ending of their names. Imports no torch."""

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any

from transformer.data.sources.extras import needed

# What the readers raise for a damaged or truncated file.
DAMAGED = (EOFError, lzma.LZMAError, zlib.error)


class _Zstandard(io.RawIOBase):
    """Decompresses frame after frame. Raises: EOFError if the last one is not complete."""

    def __init__(self, path: str) -> None:
        self._library = needed("zstandard", path)
        self._file = open(path, "rb")  # noqa: SIM115  # closed with this object
        self._frame: Any = None
        self._input = self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            self._input = self._input or self._file.read(1 << 20)
            if not self._input:
                if self._frame is not None:
                    raise EOFError("Compressed file ended before the end of its last frame")
                return 0
            self._frame = self._frame or self._library.ZstdDecompressor().decompressobj()
            try:
                self._ready = self._frame.decompress(self._input)
            except self._library.ZstdError as error:
                raise EOFError(str(error)) from None
            self._input = self._frame.unused_data if self._frame.eof else b""
            self._frame = None if self._frame.eof else self._frame
        taken = self._ready[: len(buffer)]
        self._ready = self._ready[len(taken) :]
        buffer[: len(taken)] = taken
        return len(taken)

    def close(self) -> None:
        self._file.close()
        super().close()


COMPRESSIONS: Mapping[str, Callable[[str], Any]] = {
    ".gz": gzip.GzipFile,
    ".xz": lzma.LZMAFile,
    ".bz2": bz2.BZ2File,
    ".zst": lambda path: io.BufferedReader(_Zstandard(path), 1 << 20),
}


def endings(path: str) -> tuple[str, str]:
    """The endings of format and of compression in lower case: `.jsonl`, `.gz`."""
    suffixes = [suffix.lower() for suffix in PurePath(path).suffixes[-2:]]
    if suffixes and suffixes[-1] in COMPRESSIONS:
        return (suffixes[0] if len(suffixes) > 1 else ""), suffixes[-1]
    return (suffixes[-1] if suffixes else ""), ""


def opened(path: str) -> Any:
    """The content of a file, decompressed while it is read."""
    return COMPRESSIONS.get(endings(path)[1], lambda path: open(path, "rb"))(path)
