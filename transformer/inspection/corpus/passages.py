"""Long passages that a corpus has twice, and those that are in two of its splits. No torch."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from transformer.data.sources.reading import document_digest
from transformer.data.text.documents import TRAIN, Split, keys_of, split_of
from transformer.data.text.pieces import common_before, common_from
from transformer.inspection.corpus.findings import NAMED, Finding, shortened
from transformer.inspection.corpus.portion import Portion

LEAST = 1000  # characters of a passage that is reported
LEAST_IN_SPLITS = 300
_MOST = 20_000  # pairs of places that are compared in full
_FACTOR = 0x2545F4914F6CDD1D  # odd, with bits all over
_COPY = 0.9  # a passage that is so much of both its texts: the texts are copies


class Passage(NamedTuple):
    """Equal text in two places: the number of the sample, and the first character there."""

    length: int
    first: int
    start: int
    second: int
    other_start: int


def passages(portion: Portion) -> Iterator[Finding]:
    found = [one for one in _all_passages(portion) if one.length >= LEAST_IN_SPLITS]
    split = _split(portion)
    in_splits, within = [], []
    for one in found:
        shared = None if split is None else _across(one, split)
        if shared is not None and shared.length >= LEAST_IN_SPLITS:
            in_splits.append(shared)
        elif one.length >= LEAST:
            within.append(one)
    if in_splits:
        total = sum(one.length for one in in_splits)
        yield Finding(
            "text in both splits", len(in_splits), "passages that are in the training split and "
            f"in another, {total:,} characters together", _places(in_splits, portion),
            "the loss on such text is too low: remove one of the two from a copy of the file, or "
            "name files of your own with --val_path",
        )  # fmt: skip
    if within:
        total = sum(one.length for one in within)
        yield Finding(
            "repeated passages", len(within), f"passages of {LEAST:,} characters or more that "
            f"occur again, {total:,} characters together", _places(within, portion),
            "a model learns them by heart: remove one of the two from a copy of the file",
        )  # fmt: skip


def _places(found: Sequence[Passage], portion: Portion) -> list[str]:
    places = []
    for one in sorted(found, reverse=True)[:NAMED]:
        first, second = portion.samples[one.first], portion.samples[one.second]
        passage = first.text[one.start : one.start + one.length]
        ahead = _first_line(passage, starts=one.start == 0 or first.text[one.start - 1] == "\n")
        text = shortened(passage[ahead : ahead + 40].replace("\n", " "), 40)
        here, there = first.at(one.start + ahead), second.at(one.other_start + ahead)
        places.append(f"{here} and {there}: {one.length:,} characters from {text}")
    return places


def _first_line(passage: str, *, starts: bool) -> int:
    """Where the first whole line of a passage begins: what is before it may be equal by chance."""
    ahead = 0 if starts else passage.find("\n", 0, LEAST_IN_SPLITS) + 1
    rest = passage[ahead:]
    return ahead + len(rest) - len(rest.lstrip())


def _all_passages(portion: Portion) -> list[Passage]:
    """The longest match around each pair of equal fingerprints; no copies of whole documents."""
    firsts = {sample.text: number for number, sample in reversed([*enumerate(portion.samples)])}
    numbers = sorted(firsts.values())
    prints = [portion.fingerprints[number] for number in numbers]
    if not sum(len(one.hashes) for one in prints):
        return []
    texts = np.repeat(numbers, [len(one.hashes) for one in prints])
    starts = np.concatenate([one.places for one in prints])
    hashes = np.concatenate([one.hashes for one in prints])
    found: list[Passage] = []
    known: tuple[int, int, int] | None = None
    end = 0
    for first, start, second, other in _pairs(hashes, texts, starts)[:_MOST].tolist():
        diagonal = (first, second, other - start)
        if diagonal == known and start < end:
            continue  # within the match before it
        one = _longest(portion, first, start, second, other)
        known, end = diagonal, one.start + one.length
        longer = max(len(portion.samples[first].text), len(portion.samples[second].text))
        if first == second or one.length < _COPY * longer:
            found.append(one)
    return found


def _pairs(
    hashes: NDArray[np.uint64], texts: NDArray[np.int64], starts: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Neighbours with equal fingerprints: text, place, text, place; those of a match together.

    A match that is reported has several fingerprints at the same distance, so single ones are left
    out.
    """
    order = np.argsort(hashes, kind="stable")
    same = np.flatnonzero(hashes[order][1:] == hashes[order][:-1])
    one, two = order[same], order[same + 1]
    pairs = np.stack([texts[one], starts[one], texts[two], starts[two]], axis=1)
    distances = pairs[:, 3] - pairs[:, 1]
    keys = (pairs[:, 0] * _FACTOR + pairs[:, 2]) * _FACTOR + distances  # hashes: they may overflow
    _, group, counts = np.unique(keys, return_inverse=True, return_counts=True)
    kept = np.flatnonzero(counts[group] > 1)
    order = np.lexsort((pairs[kept, 1], group[kept], -counts[group[kept]]))
    return pairs[kept][order]


def _longest(portion: Portion, first: int, start: int, second: int, other: int) -> Passage:
    """The match around two places; in one text, at most up to where it begins again."""
    one, two = portion.samples[first].text, portion.samples[second].text
    back = common_before(one, start, two, other)
    start, other = start - back, other - back
    length = common_from(one, start, two, other)
    if first == second:
        length = min(length, other - start)
    return Passage(length, first, start, second, other)


def _split(portion: Portion) -> Split | None:
    """As a training run splits this text; None if only a part of it is known."""
    if not portion.is_whole:
        return None
    keys = keys_of([document_digest(sample.text) for sample in portion.samples])
    parts = np.array([sample.part for sample in portion.samples], dtype=np.int64)
    return split_of(keys, portion.lengths, parts, portion.settings, num_own=portion.num_own)


def _across(one: Passage, split: Split) -> Passage | None:
    """The longest part of a passage that is in training in one place, and not in the other."""
    found = [
        Passage(high - low, one.first, one.start + low, one.second, one.other_start + low)
        for low, high in _overlaps(one, split)
        if high > low
    ]
    return max(found, default=None)


def _overlaps(one: Passage, split: Split) -> Iterator[tuple[int, int]]:
    """Where, within a passage, just one of its places is in the training split."""
    for here in split.pieces(one.first):
        for there in split.pieces(one.second):
            if (here.split == TRAIN) != (there.split == TRAIN):
                ends = [one.length]
                if here.end is not None:
                    ends.append(here.end - one.start)
                if there.end is not None:
                    ends.append(there.end - one.other_start)
                yield max(0, here.start - one.start, there.start - one.other_start), min(ends)


CHECKS = (passages,)
