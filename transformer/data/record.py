"""Records a model's text in its file, and compares other texts with the record. No torch."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from transformer.data.tokenizers.utf8 import as_bytes

NUM_PIECES = 64  # pieces of a text whose digests are recorded, to find them in another text
_DIGITS = 12  # of a piece's sha256 in hexadecimal; by chance two agree in one of 10^11 texts


class Shared(NamedTuple):
    """How much of a recorded text another one has at its start and its end, in whole pieces."""

    head: int  # characters
    tail: int
    total: int  # characters of the recorded text
    num_trained: int  # characters of head and tail that are in the training split


def digest(text: str) -> str:
    """The sha256 of the text in UTF-8; of a file that is no UTF-8, the one of its bytes."""
    return hashlib.sha256(as_bytes(text)).hexdigest()


def identity_of(files: Sequence[tuple[int, bytes]]) -> str:
    """The sha256 of a corpus, from the part and the digest of each file."""
    found = hashlib.sha256()
    for part, one in files:
        found.update(part.to_bytes(4, "big") + one)
    return found.hexdigest()


def record_of(
    text: str, num_train: int | None = None, num_val: int | None = None
) -> dict[str, Any]:
    """What a model's file holds about its text, besides the sha256.

    `num_train` and `num_val` are the lengths of the training split and of the validation split
    after it; None if these are not the start of the text, or reach its end.
    """
    spans = _pieces(len(text), len(text) if num_train is None else num_train)
    pieces = "".join(digest(text[start:end])[:_DIGITS] for start, end in spans)
    splits = {"num_train_characters": num_train, "num_val_characters": num_val}
    known = {name: number for name, number in splits.items() if number is not None}
    return {"num_characters": len(text), **known, "pieces": pieces}


def _pieces(total: int, num_train: int) -> Iterator[tuple[int, int]]:
    """The start and end of each piece; no piece is in both splits."""
    size = max(1, -(-total // NUM_PIECES))
    for start, end in ((0, num_train), (num_train, total)):
        yield from ((at, min(at + size, end)) for at in range(start, end, size))


def find_shared(text: str, record: Mapping[str, Any]) -> Shared:
    """Compares `text` with the recorded one; older records tell only if all of it is there."""
    total = record.get("num_characters", record.get("num_tokens"))
    if not isinstance(total, int) or total < 1:
        return Shared(0, 0, 0, 0)
    num_train = record.get("num_train_characters")
    num_train = num_train if isinstance(num_train, int) else total
    pieces, digits = record.get("pieces"), _DIGITS
    spans = _pieces(total, num_train)
    if not isinstance(pieces, str):
        pieces, digits = str(record.get("sha256")), len(digest(""))
        spans = iter([(0, total)])
    digests = (pieces[at : at + digits] for at in range(0, len(pieces), digits))
    known = list(zip(spans, digests, strict=False))
    head = _matched(text, known)
    tail = _matched(text, known[::-1], len(text) - total) if head < total else 0
    tail = min(tail, len(text) - head)
    num_trained = min(head, num_train) + max(0, tail - (total - num_train))
    return Shared(head, tail, total, num_trained)


def _matched(text: str, pieces: list[tuple[tuple[int, int], str]], moved: int = 0) -> int:
    """How many characters match before the first piece that `text` lacks at its place + `moved`."""
    matched = 0
    for (start, end), wanted in pieces:
        at = start + moved
        if at < 0 or digest(text[at : end + moved])[: len(wanted)] != wanted:
            break
        matched += end - start
    return matched


def describe_shared(text: str, record: Mapping[str, Any]) -> str:
    """What `text` shares with the recorded text, in words."""
    head, tail, total, num_trained = find_shared(text, record)
    if not head and not tail:
        return "the record cannot tell whether parts of it are from that text"
    if total in (head, tail):
        side, rest = ("first", "follow") if head == total else ("last", "stand before them")
        parts = f"its {side} {total:,} characters are the whole of that text, and "
        parts += f"{len(text) - total:,} more {rest}"
    else:
        ends = [f"its {side} {n:,}" for side, n in (("first", head), ("last", tail)) if n]
        parts = f"at least {' and '.join(ends)} characters are the same as in that text"
    if "num_train_characters" in record:
        parts += f"; {num_trained:,} of these trained the model"
    return parts


def describe_inside(text: str, own: str, num_train: int) -> str | None:
    """Which part of `text` is in the model's `own` text; None if neither contains the other."""
    if (at := text.find(own)) >= 0:
        return (
            f"its characters {at + 1:,} to {at + len(own):,} are the whole of that text; the first "
            f"{num_train:,} of these trained the model"
        )
    if (at := own.find(text)) >= 0:
        trained = max(0, min(at + len(text), num_train) - at)
        return (
            f"it is characters {at + 1:,} to {at + len(text):,} of that text; {trained:,} of these "
            "trained the model"
        )
    return None


def describe_change(text: str, record: Mapping[str, Any]) -> str:
    total = record.get("num_characters", record.get("num_tokens"))
    length = f"{total:,} characters, " if isinstance(total, int) else ""
    was = f"{length}sha256 {str(record.get('sha256'))[:_DIGITS]}"
    now = f"{len(text):,} characters, sha256 {digest(text)[:_DIGITS]}"
    return f"the training text had {was}, this text has {now}; {describe_shared(text, record)}"
