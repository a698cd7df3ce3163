"""Lines that are very long, and lines that stand in most documents. Imports no torch."""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from transformer.inspection.corpus.findings import NAMED, Finding, shortened
from transformer.inspection.corpus.portion import Portion
from transformer.inspection.corpus.sample import Sample

_LONG = 100_000  # characters
_FEWEST_DOCUMENTS = 5
_ASKED = 8  # documents whose lines are looked for in all: one that most have is in one of these
_EDGE = 5  # lines at the beginning and at the end of a document
_LEAST = 20  # characters of a line that is boilerplate anywhere in a document


def long_lines(portion: Portion) -> Iterator[Finding]:
    places = []
    for sample in portion.samples:
        at = 0
        for line in sample.text.split("\n"):
            if len(line) > _LONG:
                places.append(f"{sample.at(at)}: {len(line):,} characters")
            at += len(line) + 1
    if places:
        yield Finding(
            "long lines", len(places), f"lines of more than {_LONG:,} characters", places[:NAMED],
            "nothing need be done if it is text: the line ends may be lost, which a model would "
            "never learn to write",
        )  # fmt: skip


def repeated_lines(portion: Portion) -> Iterator[Finding]:
    """Headers and licences of most documents.

    A name of a speaker stands in most plays, too. But it is short, stands there many times, and not
    at the beginning or the end.
    """
    samples = portion.samples
    if len(samples) < _FEWEST_DOCUMENTS:
        return
    asked = {int(n) for n in np.linspace(0, len(samples) - 1, _ASKED)}
    wanted = {line for number in asked for line in _lines(samples[number])}
    documents: Counter[str] = Counter()
    times: Counter[str] = Counter()
    at_edges: Counter[str] = Counter()
    for sample in samples:
        lines = _lines(sample)
        found = Counter(line for line in lines if line in wanted)
        documents.update(found.keys())
        times.update(found)
        at_edges.update({*lines[:_EDGE], *lines[-_EDGE:]} & wanted)
    boilerplate = [
        line
        for line, number in documents.most_common()
        if number > len(samples) / 2
        and (at_edges[line] > 0.8 * number or (len(line) >= _LEAST and times[line] < 1.5 * number))
    ]
    if boilerplate:
        places = [
            f"{_place(samples, line)}: {shortened(line)}, in {documents[line]:,} documents"
            for line in boilerplate[:NAMED]
        ]
        yield Finding(
            "repeated lines", len(boilerplate), f"lines that most of {len(samples):,} documents "
            "have", places, advice_to_drop(boilerplate, portion),
        )  # fmt: skip


def _lines(sample: Sample) -> list[str]:
    return [stripped for line in sample.text.split("\n") if (stripped := line.strip())]


def _place(samples: Sequence[Sample], line: str) -> str:
    sample = next(sample for sample in samples if line in sample.text)
    return sample.at(sample.text.index(line))


def advice_to_drop(lines: Sequence[str], portion: Portion) -> str:
    """The flag that leaves out these lines, if it leaves out no others."""
    counts = _counts_of_frequent(portion)
    least = min((counts[line] for line in lines), default=0)
    own = set(lines)
    others = [line for line, number in counts.items() if number >= least and line not in own]
    if least < 2:
        return "a model learns them by heart: remove them from a copy of the files"
    if not others:
        return f"a model learns them by heart: train with --drop_lines_seen {least}"
    other = shortened(max(others, key=lambda line: counts[line]), 30)
    return (
        "a model learns them by heart: remove them from a copy of the files; --drop_lines_seen "
        f"{least} would leave out {len(others):,} other lines too, such as {other}"
    )


def _counts_of_frequent(portion: Portion) -> Counter[str]:
    """How often each line occurs, for those that do more than once; their hashes come first."""
    hashes = np.fromiter(
        (hash(line) for sample in portion.samples for line in _lines(sample)), dtype=np.int64
    )
    values, counts = np.unique(hashes, return_counts=True)
    frequent = set(values[counts > 1].tolist())
    return Counter(
        line for sample in portion.samples for line in _lines(sample) if hash(line) in frequent
    )


CHECKS = (long_lines, repeated_lines)
