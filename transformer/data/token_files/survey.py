"""A first pass over all files: what is in them, and which of their texts are equal. No torch."""

import codecs
import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from transformer.data.sources.compression import opened
from transformer.data.sources.encodings import not_decoded
from transformer.data.sources.faults import BadFile, Faults
from transformer.data.sources.reading import naming
from transformer.data.sources.settings import Reading
from transformer.data.text.documents import keys_of
from transformer.data.token_files.units import CR, LF, RAW, Unit, is_in_blocks, segments
from transformer.data.tokenizers.utf8 import as_bytes

_BEGINNING = 100_000  # characters
_BLOCK = 1 << 24  # bytes
_FIRST = 1000  # bytes, which have most of what a long text has
_ASCII, _NOT_ASCII = bytes(range(128)), bytes(range(128, 256))


class FileFacts(NamedTuple):
    """What is known of a file. `lengths` are those of its documents, in characters."""

    keys: NDArray[np.uint64]  # the first 8 bytes of each document's sha256
    lengths: NDArray[np.int64]
    unit_lengths: list[int]  # characters of each unit of the file
    unit_documents: list[int]  # documents that end in each unit
    digest: str  # of all its documents: the sha256 of their sha256s
    text_digest: str  # the sha256 of the text, if it is one document
    characters: str  # each once, sorted
    beginning: str
    ends: str  # its line ends: see `segments`
    faults: Faults


def survey_file(units: Sequence[Unit], reading: Reading) -> FileFacts:
    """Reads all units of one file. With `skip_bad_files`, a bad file has no documents."""
    faults = Faults(reading.skip_bad_files)
    try:
        return _surveyed(units, reading, faults)
    except BadFile as error:
        failed = Faults(reading.skip_bad_files)
        failed.file(error)
        empty = np.zeros(0, np.uint64), np.zeros(0, np.int64)
        zeros = [0] * len(units)
        return FileFacts(*empty, zeros, zeros, "", "", "", "", LF, failed)


def _surveyed(units: Sequence[Unit], reading: Reading, faults: Faults) -> FileFacts:
    ends = line_ends(units, reading)
    digests: list[bytes] = []
    lengths: list[int] = []
    unit_lengths: list[int] = []
    unit_documents: list[int] = []
    symbols = Symbols()
    beginning = ""
    digest, length = hashlib.sha256(), 0
    for unit in units:
        before, documents = sum(unit_lengths), len(digests)
        total = 0
        for segment in segments(unit, reading, faults, ends):
            data = as_bytes(segment.text)
            digest.update(data)
            symbols.add(segment.text, data)
            length += len(segment.text)
            total += len(segment.text)
            if before + total - len(segment.text) < _BEGINNING:
                beginning += segment.text[:_BEGINNING]
            if segment.ends and length:  # cleaning may have left nothing
                digests.append(digest.digest())
                lengths.append(length)
            if segment.ends:
                digest, length = hashlib.sha256(), 0
        unit_lengths.append(total)
        unit_documents.append(len(digests) - documents)
    return FileFacts(
        keys_of(digests),
        np.array(lengths, dtype=np.int64),
        unit_lengths,
        unit_documents,
        hashlib.sha256(b"".join(digests)).hexdigest() if digests else "",
        digests[0].hex() if len(digests) == 1 else "",
        symbols.found,
        beginning[:_BEGINNING],
        ends,
        faults,
    )


class Symbols:
    """Collects the different characters of texts, those of ASCII in their bytes."""

    def __init__(self) -> None:
        self._ascii = b""
        self._others: set[str] = set()

    def add(self, text: str, data: bytes) -> None:
        """`data` is the text in UTF-8."""
        for new in (data[:_FIRST], data):
            while new := new.translate(None, self._ascii + _NOT_ASCII):
                self._ascii += bytes(set(new[:_FIRST]))
        if not text.isascii():
            others = data.translate(None, _ASCII).decode("utf-8", "surrogateescape")
            self._others |= set(others)

    @property
    def found(self) -> str:
        return "".join(sorted(self._others | set(self._ascii.decode("ascii"))))


def line_ends(units: Sequence[Unit], reading: Reading) -> str:
    """CR if a file has more lone CRs than other line ends; RAW for any bytes that are no UTF-8.

    A file that is read at once is looked at by its reader.

    Raises: BadFile for a file that is no UTF-8 or cannot be read.
    """
    if not is_in_blocks(units[0], reading):
        return LF
    file = units[0].file
    num_crlf = num_cr = num_lf = num_read = 0
    decoder = codecs.getincrementaldecoder("utf-8")()
    with naming(file), opened(file) as stream:
        last = block = b"\n"
        while block:
            block = stream.read(_BLOCK)
            try:
                decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                if reading.any_bytes:
                    return RAW
                before = num_read - (len(error.object) - len(block))
                raise not_decoded(error.object, error.start, file, "utf-8", before=before) from None
            num_crlf += block.count(b"\r\n") + (last == b"\r" and block[:1] == b"\n")
            num_cr += block.count(b"\r")
            num_lf += block.count(b"\n")
            num_read += len(block)
            last = block[-1:]
    return CR if num_cr - num_crlf > num_lf else LF
