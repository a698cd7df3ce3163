"""How samples of a text begin. Imports no torch."""

import logging
import re
from collections import Counter

from transformer.data.text.corpus import Corpus

# Letters and digits at a line's start, with the colon of a speaker's name: a word, or its first
# character where lines hardly begin alike, as in scripts without spaces.
_BEGINNINGS = (re.compile(r"^\w{1,20}:?", re.MULTILINE), re.compile(r"^\w", re.MULTILINE))

log = logging.getLogger(__name__)


def choose_prompt(prompt: str, corpus: Corpus, path: str) -> str:
    """`prompt`, or the text's own most frequent beginning of a line where it is empty.

    A prompt with characters that the text lacks is replaced too, with a word.
    """
    unknown = corpus.tokenizer.unknown(prompt)
    if prompt and not unknown:
        return prompt
    own = frequent_beginning(corpus.beginning)
    if unknown:
        log.warning(
            "sample_prompt %r is not used: %s has no %s; samples start with %r",
            prompt,
            path,
            ", ".join(map(repr, unknown)),
            own or "a new line",
        )
    return own


def frequent_beginning(text: str) -> str:
    """What most lines begin with, of several the one that comes first; empty where none does."""
    for pattern in _BEGINNINGS:
        found = Counter(pattern.findall(text)).most_common(1)
        if found and found[0][1] > 1:
            return found[0][0]
    first = _BEGINNINGS[0].search(text)
    return first[0] if first else ""
