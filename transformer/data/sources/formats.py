"""The formats of files by their endings: each gives the texts in a file one by one. No torch."""

import csv
import io
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from transformer.data.sources.compression import endings, opened
from transformer.data.sources.encodings import not_decoded, read_as_text
from transformer.data.sources.extracts import docx_text, epub_text, html_text
from transformer.data.sources.extras import needed
from transformer.data.sources.faults import Faults
from transformer.data.sources.settings import Reading, shown

_ROWS = 1024  # of a Parquet file, read at once


class Record(NamedTuple):
    """A text and its place in its file: `line 3`, or nothing for a whole file."""

    text: str
    place: str = ""


Reader = Callable[[str, Reading, Faults], Iterator[Record]]


def _plain(path: str, reading: Reading, faults: Faults) -> Iterator[Record]:
    with opened(path) as file:
        data = file.read()
    yield Record(read_as_text(data, path, reading.encoding, any_bytes=reading.any_bytes).text)


def _lines(file: Any, path: str, reading: Reading) -> Iterator[str]:
    """Decoded line by line, so that a long file is never whole in memory."""
    with io.TextIOWrapper(file, encoding=_marked(reading.encoding), newline="\n") as text:
        try:
            yield from text
        except UnicodeDecodeError as error:
            raise not_decoded(error.object, error.start, path, reading.encoding) from None


def _marked(encoding: str) -> str:
    """The name of UTF-8 that drops a byte order mark."""
    return "utf-8-sig" if encoding == "utf-8" else encoding


def _json_lines(path: str, reading: Reading, faults: Faults) -> Iterator[Record]:
    yield from json_lines(opened(path), path, reading, faults)


def json_lines(
    file: Any, path: str, reading: Reading, faults: Faults, first_byte: int = 0
) -> Iterator[Record]:
    """The records of an open file; `first_byte` is where it starts within `path`."""
    behind = f" after byte {first_byte:,}" * bool(first_byte)
    for number, line in enumerate(_lines(file, path, reading), start=1):
        if not line.strip():
            continue
        place = f"line {number:,}{behind}"
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            faults.record(f"{shown(path)}, {place}", f"not JSON ({error})")
            continue
        yield from _field_of(value, path, place, reading, faults)


def _json(path: str, reading: Reading, faults: Faults) -> Iterator[Record]:
    with opened(path) as file:
        text = read_as_text(file.read(), path, reading.encoding).text
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        if "\n{" in text:  # records in lines, under another name
            yield from _json_lines(path, reading, faults)
            return
        raise EOFError(f"not JSON: {error}") from None
    for number, value in enumerate(values if isinstance(values, list) else [values], start=1):
        yield from _field_of(value, path, f"record {number:,}", reading, faults)


def _field_of(
    value: Any, path: str, place: str, reading: Reading, faults: Faults
) -> Iterator[Record]:
    """The text of a record: a text itself, or the field of an object. An empty one is no text."""
    if isinstance(value, str):
        found: Any = value
    elif not isinstance(value, dict):
        faults.record(f"{shown(path)}, {place}", "neither a text nor an object with fields")
        return
    elif reading.text_field not in value:
        faults.record(f"{shown(path)}, {place}", _lacking("field", list(value), reading))
        return
    else:
        found = value[reading.text_field]
    if not isinstance(found, str):
        kind = type(found).__name__
        reason = f"its field {reading.text_field!r} is no text but {kind}; give another"
        faults.record(f"{shown(path)}, {place}", f"{reason} `text_field`")
    elif found:
        yield Record(_with_lf(found), place)


def _lacking(what: str, names: list[Any], reading: Reading) -> str:
    named = ", ".join(map(str, names[:8])) + ", ..." * (len(names) > 8)
    return f"has no {what} {reading.text_field!r} (it has {named or 'none'}); give its `text_field`"


def _with_lf(text: str) -> str:
    text = text.replace("\r\n", "\n")
    return text.encode("utf-8", "replace").decode() if _has_surrogates(text) else text


def _has_surrogates(text: str) -> bool:
    """JSON can write halves of a surrogate pair, which no text can hold."""
    return not text.isascii() and any("\ud800" <= sign <= "\udfff" for sign in set(text))


def _table(delimiter: str) -> Reader:
    def read(path: str, reading: Reading, faults: Faults) -> Iterator[Record]:
        csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
        rows = csv.reader(_lines(opened(path), path, reading), delimiter=delimiter)
        try:
            header = next(rows, [])
            if reading.text_field not in header:
                raise EOFError(_lacking("column", header, reading))
            column = header.index(str(reading.text_field))
            for number, row in enumerate(rows, start=2):
                place = f"row {number:,}"
                if len(row) <= column:
                    if row:
                        faults.record(f"{shown(path)}, {place}", f"has only {len(row)} columns")
                elif row[column]:
                    yield Record(_with_lf(row[column]), place)
        except csv.Error as error:
            raise EOFError(f"not a table: line {rows.line_num:,}: {error}") from None

    return read


def _parquet(path: str, reading: Reading, faults: Faults) -> Iterator[Record]:
    library = needed("pyarrow", path, "pyarrow.parquet")
    arrow = needed("pyarrow", path)
    try:
        with library.ParquetFile(path) as file:
            if reading.text_field not in file.schema_arrow.names:
                raise EOFError(_lacking("column", file.schema_arrow.names, reading))
            number = 0
            for batch in file.iter_batches(_ROWS, columns=[reading.text_field]):
                for value in batch.column(0).to_pylist():
                    number += 1
                    record = {reading.text_field: value}
                    yield from _field_of(record, path, f"row {number:,}", reading, faults)
    except (arrow.ArrowInvalid, arrow.ArrowNotImplementedError) as error:
        raise EOFError(f"not a Parquet file: {error}") from None


def _extracted(text_of: Callable[[bytes, str, str], str]) -> Reader:
    def read(path: str, reading: Reading, faults: Faults) -> Iterator[Record]:
        with opened(path) as file:
            data = file.read()
        yield Record(text_of(data, path, reading.encoding))

    return read


# The endings of files whose texts are not simply the file.
RECORDS: Mapping[str, Reader] = {
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".json": _json,
    ".csv": _table(","),
    ".tsv": _table("\t"),
    ".parquet": _parquet,
    ".epub": _extracted(epub_text),
    ".html": _extracted(html_text),
    ".htm": _extracted(html_text),
    ".xhtml": _extracted(html_text),
    ".docx": _extracted(docx_text),
}
# Formats whose texts are a field of records; without a `text_field` they are plain text.
_WITH_FIELDS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv")


def is_plain(path: str) -> bool:
    """Whether the name is that of a plain, uncompressed text: any ending that is not known."""
    ending, packed = endings(path)
    return ending not in RECORDS and not packed


def reader_of(path: str, reading: Reading) -> Reader:
    ending, _ = endings(path)
    if reading.text_field is None and ending in _WITH_FIELDS:
        return _plain
    return RECORDS.get(ending, _plain)
