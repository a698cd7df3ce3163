"""Cuts a text where a tokenizer cuts it anyway, so that its parts can be encoded one by one.

Imports no torch.
"""

import re
from collections.abc import Iterator
from itertools import pairwise
from string import ascii_letters, punctuation

import numpy as np
from numpy.typing import NDArray

LINE_ENDS = "\r\n"
# Unicode's White_Space without line ends. Python's `isspace` has four more, U+001C to U+001F.
BLANKS = "\t\v\f \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029"
BLANKS += "\u202f\u205f\u3000"
_WHITE, _LETTER, _MARK = 1, 2, 3
_KINDS = np.zeros(ord(max(BLANKS)) + 2, dtype=np.uint8)  # by code point; the last for all others
_KINDS[list(map(ord, BLANKS + LINE_ENDS))] = _WHITE
_KINDS[list(map(ord, ascii_letters))] = _LETTER
_KINDS[list(map(ord, punctuation))] = _MARK
_LONGEST = 65_536  # characters of a unit without white space: longer ones are cut
# A word of all common tokenizers ends between a letter or digit and white space.
_BORDER = re.compile(r"[^\W_](?=\s)")
_BLOCK = 65_536  # characters


def code_points(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def unit_starts(points: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Where the units of a text begin: no word of `WORDS` (hugging_face.py) is in two of them.

    A unit begins before white space without a line end, or behind the last line end of white space;
    and also between a letter and a punctuation mark, both of ASCII.
    """
    kinds = _KINDS[np.minimum(points, len(_KINDS) - 1)]
    is_white = kinds == _WHITE
    changes = np.flatnonzero(is_white[1:] != is_white[:-1]) + 1
    borders = np.concatenate(([0], changes, [len(points)]))
    first = 0 if is_white[:1].any() else 1  # white space and what is none take turns
    begins, ends = borders[:-1][first::2], borders[1:][first::2]
    line_ends = np.flatnonzero((points == ord("\n")) | (points == ord("\r")))
    before = np.searchsorted(line_ends, ends) - 1
    last = np.append(line_ends, -1)[before]  # the last line end before the white space ends
    is_start = np.zeros(len(points) + 1, dtype=bool)
    is_start[np.where(last >= begins, last + 1, begins)] = True
    is_start[1:-1] |= (kinds[:-1] == _LETTER) & (kinds[1:] == _MARK)
    is_start[0], is_start[-1] = len(points) > 0, False
    return _cut_long(np.flatnonzero(is_start), len(points))


def _cut_long(starts: NDArray[np.int64], end: int) -> NDArray[np.int64]:
    long = np.flatnonzero(np.diff(starts, append=end) > _LONGEST)
    ends = np.append(starts, end)[1:]
    more = [np.arange(starts[at], ends[at], _LONGEST)[1:] for at in long]
    return np.sort(np.concatenate([starts, *more])) if more else starts


def units(text: str) -> list[str]:
    """Parts of a text that the words of `WORDS` do not cross."""
    bounds = [*unit_starts(code_points(text)).tolist(), len(text)]
    return [text[start:end] for start, end in pairwise(bounds)]


def blocks(text: str, size: int = _BLOCK) -> Iterator[str]:
    """Parts of about `size` characters or more, cut at a border."""
    start = 0
    while start < len(text):
        border = _BORDER.search(text, start + size)
        end = border.end() if border else len(text)
        yield text[start:end]
        start = end
