"""Shows texts with marks around some of their passages. Imports no torch."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from transformer.generation.continuation import Continuation
from transformer.system.terminal import say

# The first pair that no text has is taken.
BRACKETS = (("[[", "]]"), ("{{", "}}"), ("<<<", ">>>"), ("\u27e6", "\u27e7"))
_COLOR, _PLAIN = "\x1b[7m", "\x1b[0m"  # swaps the colors of text and background, and back

Span = tuple[int, int]


class Marks(NamedTuple):
    """Of each row: the spans of its text, and what JSON says of them. `summary` is for a person."""

    spans: Sequence[Sequence[Span]]
    facts: Sequence[dict[str, Any]]
    summary: str


FindMarks = Callable[[Sequence[Continuation]], Marks]


def has_color() -> bool:
    """Whether stdout is a terminal with colors, unless NO_COLOR says otherwise (no-color.org)."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return sys.stdout is not None and sys.stdout.isatty()


def marked(text: str, spans: Sequence[Span], brackets: tuple[str, str], *, color: bool) -> str:
    """Brackets around each span, which stand out without a color, too."""
    opening, closing = brackets
    if color:
        opening, closing = _COLOR + opening, closing + _PLAIN
    parts, at = [], 0
    for start, end in spans:
        parts += [text[at:start], opening, text[start:end], closing]
        at = end
    return "".join([*parts, text[at:]])


def brackets_for(texts: Sequence[str]) -> tuple[str, str]:
    free = (pair for pair in BRACKETS if not any(sign in text for sign in pair for text in texts))
    return next(free, BRACKETS[-1])


def marked_texts(rows: Sequence[Continuation], marks: Marks) -> tuple[list[str], str]:
    """Each prompt with its marked text, and the line that explains the marks."""
    brackets = brackets_for([row.prompt + row.text for row in rows])
    color = has_color()
    texts = [
        row.prompt + marked(row.text, spans, brackets, color=color)
        for row, spans in zip(rows, marks.spans, strict=True)
    ]
    return texts, f"{brackets[0]}copied{brackets[1]}: {marks.summary}"


def after_all(steps: Iterator[None], show_plain: Callable[[], None]) -> bool:
    """Runs all steps; gives whether there were any. Ended early, texts are shown without marks."""
    started = done = False
    try:
        for _ in steps:
            started = True
        done = True
    finally:
        if started and not done:
            show_plain()
            say("nothing is marked, as the writing was interrupted")
    return started
