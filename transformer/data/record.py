"""What a model's file records of its text, and how another text compares with that. No torch."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

# A text is recorded in so many pieces, to tell later which of them another text has.
NUM_PIECES = 64
_DIGITS = 12  # of a piece's sha256, in hexadecimal; two in a text are alike once in 10^11 texts


class Shared(NamedTuple):
    """How many characters of a recorded text another one begins and ends with, piece by piece."""

    head: int
    tail: int
    total: int  # characters of the recorded text
    num_trained: int  # of head and tail, those of the training split


def digest(text: str) -> str:
    """The sha256 of its UTF-8 bytes."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def record_of(text: str, num_train: int | None = None) -> dict[str, Any]:
    """For a model's file, beside the text's sha256.

    `num_train` says how many characters trained the model, if the first of them did.
    """
    spans = _pieces(len(text), len(text) if num_train is None else num_train)
    pieces = "".join(digest(text[start:end])[:_DIGITS] for start, end in spans)
    training = {} if num_train is None else {"num_train_characters": num_train}
    return {"num_characters": len(text), **training, "pieces": pieces}


def _pieces(total: int, num_train: int) -> Iterator[tuple[int, int]]:
    """Where each begins and ends; none is in both splits."""
    size = max(1, -(-total // NUM_PIECES))
    for start, end in ((0, num_train), (num_train, total)):
        yield from ((at, min(at + size, end)) for at in range(start, end, size))


def find_shared(text: str, record: Mapping[str, Any]) -> Shared:
    """What the record tells; of an older one, no more than whether the whole text is there."""
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
    """Characters of the pieces in a row that stand in `text` at their places, all `moved`."""
    matched = 0
    for (start, end), wanted in pieces:
        at = start + moved
        if at < 0 or digest(text[at : end + moved])[: len(wanted)] != wanted:
            break
        matched += end - start
    return matched


def describe_shared(text: str, record: Mapping[str, Any]) -> str:
    """What `text` has of the recorded one, as far as the record tells."""
    shared = find_shared(text, record)
    head, tail, total, num_trained = shared
    if not head and not tail:
        return "whether parts of it are that text's cannot be told from the record"
    if total in (head, tail):
        side, rest = ("first", "follow") if head == total else ("last", "stand before them")
        parts = f"its {side} {total:,} characters are the whole of that text, and "
        parts += f"{len(text) - total:,} more {rest}"
    else:
        ends = [f"its {side} {n:,}" for side, n in (("first", head), ("last", tail)) if n]
        parts = f"at least {' and '.join(ends)} characters are those of that text"
    if "num_train_characters" in record:
        parts += f"; {num_trained:,} of these trained the model"
    return parts


def describe_inside(text: str, own: str, num_train: int) -> str | None:
    """The same where the model's own text is at hand, and one of the two is within the other."""
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
    """How `text` differs from the recorded one: lengths, digests, what they share."""
    total = record.get("num_characters", record.get("num_tokens"))
    length = f"{total:,} characters, " if isinstance(total, int) else ""
    was = f"{length}sha256 {str(record.get('sha256'))[:_DIGITS]}"
    now = f"{len(text):,} characters, sha256 {digest(text)[:_DIGITS]}"
    return f"that had {was}, this has {now}; {describe_shared(text, record)}"
