"""What is odd in the documents of a corpus, each with its place and a way out. Imports no torch."""

import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from transformer.data.sources.reading import Document

RARE = 10  # symbols seen fewer times
_NAMED = 3
_LONG_LINE = 100_000  # characters
_LEAST_BLOB = 200
_SHINGLE, _KEPT = 8, 64  # words of a shingle; hashes that stand for a document
_NEAR = 0.8  # share of equal hashes
_BLOB = re.compile(rf"[A-Za-z0-9+/]{{{_LEAST_BLOB},}}={{0,2}}")
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_INVISIBLE = re.compile("[\u200b-\u200f\u2060-\u2064\ufeff\u00ad]")
# UTF-8 that was read as Latin-1 or cp1252 and saved again: a lead byte and what follows it.
_DOUBLED = re.compile(
    "[\u00c2\u00c3][\u0080-\u00bf]|\u00e2\u20ac[\u0080-\u00bf\u2122\u0153\u201c\u02dc]"
)


class Finding(NamedTuple):
    kind: str
    number: int
    what: str
    places: list[str]
    advice: str


def place_of(document: Document, at: int) -> str:
    """The document and the line of a character."""
    return f"{document.name}, line {document.text.count(chr(10), 0, at) + 1:,}"


def _matches(pattern: re.Pattern[str], kind: str, what: str, advice: str) -> "Check":
    def check(documents: Sequence[Document]) -> Iterator[Finding]:
        number, places = 0, []
        for document in documents:
            for match in pattern.finditer(document.text):
                number += 1
                if len(places) < _NAMED:
                    places.append(place_of(document, match.start()))
        if number:
            yield Finding(kind, number, what, places, advice)

    return check


def rare_symbols(documents: Sequence[Document]) -> Iterator[Finding]:
    counts: Counter[str] = Counter()
    for document in documents:
        counts.update(document.text)
    rare = sorted(symbol for symbol, number in counts.items() if number < RARE)
    if rare and len(counts) > 1 and sum(counts.values()) > 1000 * len(rare):
        where = [
            f"{symbol!r} in {place_of(document, document.text.index(symbol))}"
            for symbol in rare[:_NAMED]
            for document in documents
            if symbol in document.text
        ][:_NAMED]
        yield Finding(
            "rare symbols", len(rare), f"symbols seen fewer than {RARE} times", where,
            "a model cannot learn them; replace them, or train on bytes or bpe",
        )  # fmt: skip


def repeated_lines(documents: Sequence[Document]) -> Iterator[Finding]:
    """Lines that stand in most documents, such as headers and licences."""
    counts: Counter[str] = Counter()
    for document in documents:
        counts.update({line.strip() for line in document.text.split("\n") if line.strip()})
    found = [(line, n) for line, n in counts.most_common(50) if n > max(2, len(documents) / 2)]
    if len(documents) > 4 and found:
        shown = [f"{line[:60]!r} in {n:,} documents" for line, n in found[:_NAMED]]
        yield Finding(
            "repeated lines", len(found), f"lines that stand in most of {len(documents):,} texts",
            shown, "a model learns them by heart; remove them from your files",
        )  # fmt: skip


def long_lines(documents: Sequence[Document]) -> Iterator[Finding]:
    places = []
    for document in documents:
        at = 0
        for line in document.text.split("\n"):
            if len(line) > _LONG_LINE:
                places.append(f"{place_of(document, at)}: {len(line):,} characters")
            at += len(line) + 1
    if places:
        yield Finding(
            "long lines", len(places), f"lines of more than {_LONG_LINE:,} characters",
            places[:_NAMED], "look whether it is text",
        )  # fmt: skip


def copies(documents: Sequence[Document]) -> Iterator[Finding]:
    """Equal documents, and nearly equal ones: the least hashes of their shingles agree (bottom-k).

    These n-gram hashes need no further package; datasketch would bring SciPy.
    """
    first: dict[str, Document] = {}
    places, near = [], []
    by_hash: dict[int, list[int]] = {}
    sketches: list[frozenset[int]] = []
    names: list[str] = []
    for document in documents:
        if document.text in first:
            places.append(f"{document.name} is {first[document.text].name}")
            continue
        first[document.text] = document
        sketch = _sketch(document.text)
        candidates = Counter(other for one in sketch for other in by_hash.get(one, ()))
        if candidates and sketch:
            other, shared = candidates.most_common(1)[0]
            if shared >= _NEAR * min(len(sketch), len(sketches[other])):
                near.append(f"{document.name} is much like {names[other]}")
        for one in sketch:
            by_hash.setdefault(one, []).append(len(sketches))
        sketches.append(sketch)
        names.append(document.name)
    kinds = (("copies", "equal", places), ("near copies", "nearly equal", near))
    for kind, degree, found in kinds:
        if found:
            what = f"documents that are {degree} to another"
            yield Finding(kind, len(found), what, found[:_NAMED], "keep one of them")


def _sketch(text: str) -> frozenset[int]:
    words = text.split()
    if len(words) < 2 * _SHINGLE:
        return frozenset()
    shingles = (" ".join(words[n : n + _SHINGLE]) for n in range(len(words) - _SHINGLE + 1))
    return frozenset(
        sorted({zlib.crc32(one.encode("utf-8", "replace")) for one in shingles})[:_KEPT]
    )


Check = Callable[[Sequence[Document]], Iterator[Finding]]

CHECKS: tuple[Check, ...] = (
    _matches(_DOUBLED, "doubled UTF-8", "places of UTF-8 that was read in another encoding and "
             "saved again", "repair the file, for example with the package ftfy"),
    _matches(re.compile("\ufffd"), "replaced characters", "characters that were lost (U+FFFD)",
             "read the original with its own `encoding`"),
    _matches(_CONTROLS, "control characters", "control characters", "remove them from your files"),
    _matches(_INVISIBLE, "invisible characters", "characters without width",
             "remove them from your files"),
    _matches(re.compile("\r"), "odd line ends", "CR within lines", "save with LF line ends"),
    _matches(_BLOB, "blobs", "long runs of base64 or the like", "remove them: they are no text"),
    long_lines, rare_symbols, repeated_lines, copies,
)  # fmt: skip


def look(documents: Sequence[Document]) -> list[Finding]:
    return [finding for check in CHECKS for finding in check(documents)]
