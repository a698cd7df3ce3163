"""Which languages a corpus has, by share. Imports no torch.

py3langid (BSD, 5 MB, needs NumPy alone) tells them by bytes. It is asked about large pieces, or it
would take archaic words, names and lists for other languages.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import NamedTuple

from transformer.data.sources.extras import WAY_OUT
from transformer.inspection.corpus.findings import NAMED, Finding
from transformer.inspection.corpus.portion import Portion

PIECE = 4000  # characters
_SMALL, _TINY = 500, 120  # characters, to find where a language begins
_MOST_PIECES = 250  # that are asked about, spread over the corpus
_LEAST_SHARE = 0.01
MISSING = f"languages: not looked at, as the package py3langid is missing: {WAY_OUT}"

Classifier = Callable[[str], str]


class Piece(NamedTuple):
    sample: int
    start: int
    end: int


class Languages(NamedTuple):
    """`shares` are by characters, the largest first; `begins` is a place for each of them."""

    shares: dict[str, float]
    begins: dict[str, str]


def languages_of(portion: Portion) -> Languages | None:
    """None if the package is missing."""
    try:
        classify = import_module("py3langid").classify
    except ImportError:
        return None

    def language(text: str) -> str:
        return classify(text)[0]

    pieces = _pieces(portion)
    found = [language(portion.samples[one.sample].text[one.start : one.end]) for one in pieces]
    sizes: Counter[str] = Counter()
    for one, name in zip(pieces, found, strict=True):
        sizes[name] += one.end - one.start
    total = sizes.total()
    shares = {name: size / total for name, size in sizes.most_common()}
    shares = {name: share for name, share in shares.items() if share >= _LEAST_SHARE}
    begins = {
        name: _beginning(portion, pieces[found.index(name)], name, language) for name in shares
    }
    return Languages(shares, begins)


def _pieces(portion: Portion) -> list[Piece]:
    """Each text in pieces of about the same length; short ones are left out if others are long."""
    pieces = []
    for number, length in enumerate(portion.lengths.tolist()):
        count = max(1, round(length / PIECE))
        ends = [length * n // count for n in range(count + 1)]
        pieces += [Piece(number, *pair) for pair in itertools.pairwise(ends)]
    long = [piece for piece in pieces if piece.end - piece.start >= PIECE // 2]
    if sum(piece.end - piece.start for piece in long) * 2 > portion.lengths.sum():
        pieces = long
    step = max(1, -(-len(pieces) // _MOST_PIECES))
    return pieces[::step]


def _beginning(portion: Portion, piece: Piece, name: str, language: Classifier) -> str:
    """The first line of a language in the first piece that is mostly in it, or before it."""
    sample = portion.samples[piece.sample]
    at = max(0, piece.start - PIECE)
    places = []
    for line in sample.text[at : piece.end].split("\n"):
        places.append(at)
        at += len(line) + 1
    for width in (_SMALL, _TINY):
        begun = (n for n, at in enumerate(places) if language(sample.text[at : at + width]) == name)
        places = places[next(begun, 0) :]
    return sample.at(places[0])


def two_languages(languages: Languages | None) -> Iterator[Finding]:
    if languages is None or len(languages.shares) < 2:
        return
    named: Sequence[str] = [*languages.shares]
    places = [
        f"{languages.begins[name]}: {name}, {100 * languages.shares[name]:.1f} % of the text"
        for name in named[1 : NAMED + 1]
    ]
    yield Finding(
        "several languages", len(named), f"most of the text is {named[0]}", places,
        "nothing need be done if you want them all; otherwise give only the files in one of them",
    )  # fmt: skip
