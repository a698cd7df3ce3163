"""The tokenizer of a GGUF file, with which llama.cpp finds the same ids. Imports no torch."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from transformer.data.tokenizers.base import Tokenizer
from transformer.data.tokenizers.byte_level import END_OF_TEXT
from transformer.data.tokenizers.hugging_face import LETTERS
from transformer.export.gguf.splits import split_of

SUPPRESSED = "tokenizer.ggml.suppress_tokens"  # ids that newer programs never draw
_LETTER_OF = {byte: letter for letter, byte in LETTERS.items()}


class Kind(IntEnum):
    """`tokenizer.ggml.token_type`. A text is searched for the names of USER_DEFINED tokens."""

    NORMAL = 1
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5


@dataclass(frozen=True)
class Vocabulary:
    """The tokens in GPT-2's letters of bytes, and the token that ends a text.

    The end is `added`, one more than the model has, where the tokenizer has none: without a token
    of its own, llama.cpp stops at the id 11 of each vocabulary of byte pairs that is so long.
    """

    names: list[str]
    kinds: list[Kind]
    merges: list[str]
    split: str  # how a text is cut into words, in llama.cpp's word for it
    end: int
    added: bool


def vocabulary_of(tokenizer: Tokenizer) -> Vocabulary:
    """Raises: UserError for a tokenizer with which llama.cpp would find other ids."""
    spec = tokenizer.spec
    split = split_of(spec)
    ids: dict[str, int] = dict(spec["model"]["vocab"])
    ids |= {token["content"]: token["id"] for token in spec["added_tokens"]}
    names = sorted(ids, key=ids.__getitem__)
    kinds = [Kind.NORMAL] * len(names)
    for token in spec["added_tokens"]:
        kinds[token["id"]] = _kind(token)
    if spec.get("pre_tokenizer") is None:  # characters, as they are
        merges = list(dict.fromkeys(merge for name in names for merge in _merges_of(name)))
        names = ["".join(_letters(name)) for name in names]
    else:
        pairs = spec["model"]["merges"]
        merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in pairs]
    end, added = tokenizer.end_of_text, tokenizer.end_of_text is None
    if end is None:
        names, kinds, end = [*names, END_OF_TEXT], [*kinds, Kind.CONTROL], len(names)
    return Vocabulary(names, kinds, merges, split, end, added)


def _kind(token: Mapping[str, Any]) -> Kind:
    if not token["special"]:
        return Kind.USER_DEFINED
    return Kind.UNUSED if token["content"].startswith("<unused ") else Kind.CONTROL


def _letters(text: str) -> list[str]:
    return [_LETTER_OF[byte] for byte in text.encode()]


def _merges_of(character: str) -> Iterator[str]:
    """Those that make one token of its bytes, from the first on.

    They never join two characters, because each begins with the first byte of one, and what is
    added never is such a byte. A prefix that is no token of its own is left out of the ids, like
    each single byte that is none.
    """
    first, *rest = _letters(character)
    for letter in rest:
        yield f"{first} {letter}"
        first += letter
