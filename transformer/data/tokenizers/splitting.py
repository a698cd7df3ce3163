"""Cuts a text where a tokenizer cuts it anyway, so that its parts can be encoded one by one.

Imports no torch.
"""

import re
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

# Unicode's White_Space, with CR and LF apart. Python's \s has four more, U+001C to U+001F.
_BLANKS = r"\t\v\f \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_WHITE = rf"\r\n{_BLANKS}"
_LONGEST = 65_536  # characters of a unit without white space: longer ones are cut
# No word of `WORDS` (hugging_face.py) crosses the border of two units: a border stands before white
# space without a line end, or behind the last line end of white space.
_UNIT = re.compile(
    rf"[{_BLANKS}]*[^{_WHITE}]{{1,{_LONGEST}}}(?:[{_WHITE}]*[\r\n])?|[{_WHITE}]*[\r\n]|[{_WHITE}]+"
)
# A word of all common tokenizers ends between a letter or digit and white space.
_BORDER = re.compile(r"[^\W_](?=\s)")
_BLOCK = 65_536  # characters
_AT_ONCE = 4_000_000  # characters
_MOST_KNOWN = 2_000_000  # units

Encode = Callable[[list[str]], list[NDArray[np.int32]]]


def units(text: str) -> list[str]:
    """Parts of a text that the words of `WORDS` do not cross."""
    return _UNIT.findall(text)


def blocks(text: str, size: int = _BLOCK) -> Iterator[str]:
    """Parts of about `size` characters or more, cut at a border."""
    start = 0
    while start < len(text):
        border = _BORDER.search(text, start + size)
        end = border.end() if border else len(text)
        yield text[start:end]
        start = end


def distinct_units(text: str, encode: Encode) -> NDArray[np.int32]:
    """The ids of a text, each distinct unit of which is encoded once."""
    known: dict[str, int] = {}
    ids: list[NDArray[np.int32]] = []
    done = [np.zeros(0, np.int32)]
    for block in blocks(text, _AT_ONCE):
        if len(known) > _MOST_KNOWN:
            known, ids = {}, []
        found = units(block)
        new = list(dict.fromkeys(found).keys() - known.keys())
        known |= {unit: number for number, unit in enumerate(new, start=len(ids))}
        ids += encode(new)
        numbers = np.fromiter(map(known.__getitem__, found), dtype=np.int64, count=len(found))
        done.append(_joined(ids, numbers))
    return np.concatenate(done)


def _joined(parts: list[NDArray[np.int32]], numbers: NDArray[np.int64]) -> NDArray[np.int32]:
    """The parts with these numbers, one after the other; without a loop over them."""
    lengths = np.fromiter(map(len, parts), dtype=np.int64, count=len(parts))
    starts = np.cumsum(lengths) - lengths
    taken = lengths[numbers]
    ends = np.cumsum(taken)
    places = np.arange(ends[-1]) - np.repeat(ends - taken - starts[numbers], taken)
    return np.concatenate(parts)[places]
