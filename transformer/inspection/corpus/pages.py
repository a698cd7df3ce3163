"""Page headers and page numbers within one text. Imports no torch.

Names of speakers and stage directions recur, too. What tells a header is that it comes back after
about the same number of characters or lines, a page, again and again. A page number also counts up.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from transformer.inspection.corpus.findings import NAMED, Finding, shortened
from transformer.inspection.corpus.lines import advice_to_drop
from transformer.inspection.corpus.portion import Portion
from transformer.inspection.corpus.sample import Sample

_PAGE = (800, 10_000)  # characters from one header to the next
_FEWEST = 8  # headers of a text
_FEWEST_NUMBERS = 5
_REGULAR = 0.8  # share of the distances that are about the median
_NEAR = 0.25  # what is about: at most so much more or less
_NEAR_FOR_NUMBERS = 0.5
_NEAR_IN_LINES = 0.1
_LONGEST = 120  # characters of a header
_NUMBER = re.compile(r"\d{1,5}")


class _Line(NamedTuple):
    at: int  # its first character
    place: int  # among the lines
    text: str
    number: int  # the first one in it, or -1


def pages(portion: Portion) -> Iterator[Finding]:
    headers: list[str] = []
    places: list[str] = []
    numbers: list[str] = []
    total = total_numbers = 0
    for sample in portion.samples:
        for form, lines in _by_form(sample).items():
            if _counts_up(lines):
                total_numbers += len(lines)
                numbers.append(_place_and_count(sample, lines))
            elif lines[0].number < 0 and _is_regular(lines, _FEWEST, _NEAR):
                total += len(lines)
                headers.append(form)
                places.append(_place_and_count(sample, lines))
    if headers:
        yield Finding(
            "page headers", total, "lines that come back after each page", places[:NAMED],
            advice_to_drop(headers, portion),
        )  # fmt: skip
    if numbers:
        yield Finding(
            "page numbers", total_numbers, "lines with a number that counts up from page to page",
            numbers[:NAMED], "a model learns to write them into a text: remove them from a copy of "
            "the file; no two are equal, so --drop_lines_seen does not find them",
        )  # fmt: skip


def _place_and_count(sample: Sample, lines: Sequence[_Line]) -> str:
    return f"{sample.at(lines[0].at)}: {shortened(lines[0].text)}, {len(lines):,} times"


def _by_form(sample: Sample) -> dict[str, list[_Line]]:
    """The lines that recur; numbers in them count as equal, and are then `#`."""
    lines = sample.text.split("\n")
    starts = np.cumsum([0, *(len(line) + 1 for line in lines[:-1])])
    frequent = {
        line
        for line, number in Counter(lines).items()
        if number >= _FEWEST and 0 < len(line.strip()) <= _LONGEST
    }
    found: dict[str, list[_Line]] = {}
    for place, line in enumerate(lines):
        if line in frequent:
            found.setdefault(line.strip(), []).append(
                _Line(int(starts[place]), place, line.strip(), -1)
            )
    numbers = {}  # the first one of each line
    for match in _NUMBER.finditer(sample.text):
        place = int(np.searchsorted(starts, match.start(), side="right")) - 1
        numbers.setdefault(place, int(match[0]))
    for place, number in numbers.items():
        text = lines[place].strip()
        if len(text) <= _LONGEST:
            line = _Line(int(starts[place]), place, text, number)
            found.setdefault(_NUMBER.sub("#", text), []).append(line)
    return found


def _counts_up(lines: Sequence[_Line]) -> bool:
    """By one, or by two where only each second page has a number; on pages about as long."""
    if len(lines) < _FEWEST_NUMBERS or lines[0].number < 0:
        return False
    steps = np.diff([line.number for line in lines])
    upwards = max(float(np.mean(steps == 1)), float(np.mean(steps == 2)))
    return upwards >= _REGULAR and _is_regular(lines, _FEWEST_NUMBERS, _NEAR_FOR_NUMBERS)


def _is_regular(lines: Sequence[_Line], fewest: int, near: float) -> bool:
    if len(lines) < fewest:
        return False
    distances = np.diff([line.at for line in lines])
    in_lines = np.diff([line.place for line in lines])
    is_page = _PAGE[0] <= float(np.median(distances)) <= _PAGE[1]
    return is_page and (_are_about(distances, near) or _are_about(in_lines, _NEAR_IN_LINES))


def _are_about(distances: NDArray[np.int64], near: float) -> bool:
    """Whether most are about the median."""
    median = np.median(distances)
    return float(np.mean(np.abs(distances - median) <= near * median)) >= _REGULAR


CHECKS = (pages,)
