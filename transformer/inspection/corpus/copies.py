"""Documents that are equal, or nearly so. Imports no torch."""

from collections import Counter
from collections.abc import Iterator

import numpy as np

from transformer.inspection.corpus.findings import NAMED, Finding
from transformer.inspection.corpus.portion import Portion

_KEPT = 64  # of the fingerprints, those that stand for a document
_FEWEST = 16  # a document with fewer is too short to be compared
_NEAR = 0.8  # share of equal fingerprints


def copies(portion: Portion) -> Iterator[Finding]:
    """Nearly equal documents have most of their lowest fingerprints in common (bottom-k MinHash).

    datasketch would do the same; it brings SciPy, and the fingerprints are there already.
    """
    first: dict[str, int] = {}
    equal, near = [], []
    by_hash: dict[int, list[int]] = {}
    sketches: dict[int, frozenset[int]] = {}
    for number, sample in enumerate(portion.samples):
        if sample.text in first:
            equal.append(f"{sample.name} is {portion.samples[first[sample.text]].name}")
            continue
        first[sample.text] = number
        hashes = portion.fingerprints[number].hashes
        sketch = frozenset(np.unique(hashes)[:_KEPT].tolist())
        if len(sketch) < _FEWEST:
            continue
        candidates = Counter(other for one in sketch for other in by_hash.get(one, ()))
        if candidates:
            other, shared = candidates.most_common(1)[0]
            if shared >= _NEAR * min(len(sketch), len(sketches[other])):
                near.append(f"{sample.name} is much like {portion.samples[other].name}")
        sketches[number] = sketch
        for one in sketch:
            by_hash.setdefault(one, []).append(number)
    if equal:
        yield Finding(
            "copies", len(equal), "documents that are equal to another", equal[:NAMED],
            "train with --drop_duplicates true, which keeps the first of them",
        )  # fmt: skip
    if near:
        yield Finding(
            "near copies", len(near), "documents that are nearly equal to another", near[:NAMED],
            "keep one of them; --drop_duplicates leaves out only those that are exactly equal",
        )  # fmt: skip


CHECKS = (copies,)
