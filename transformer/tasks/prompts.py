"""Chooses how samples of a text begin. Imports no torch."""

import logging
import re
from collections import Counter

from transformer.data.text.corpus import Corpus

# The beginning of a line: its first word, with the colon of a speaker's name. In scripts without
# spaces, hardly any two lines share that, so the second pattern is the first character.
_BEGINNINGS = (re.compile(r"^\w{1,20}:?", re.MULTILINE), re.compile(r"^\w", re.MULTILINE))

log = logging.getLogger(__name__)


def choose_prompt(prompt: str, corpus: Corpus, path: str) -> str:
    """`prompt`, or if it is empty, the most frequent beginning of a line of the text.

    A prompt with characters that the text lacks is also replaced, with a warning.
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
    """The most frequent beginning of a line, the earliest of equally frequent ones.

    If all lines begin differently, it is the first word; without a word, it is empty.
    """
    for pattern in _BEGINNINGS:
        found = Counter(pattern.findall(text)).most_common(1)
        if found and found[0][1] > 1:
            return found[0][0]
    first = _BEGINNINGS[0].search(text)
    return first[0] if first else ""
