"""A tokenizer as data of a page, with which tokenizers.js finds the same ids. Imports no torch."""

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import chain, pairwise
from typing import Any

from transformer.data.tokenizers.base import Tokenizer
from transformer.data.tokenizers.bpe import BpeTokenizer
from transformer.data.tokenizers.bytes import ByteTokenizer
from transformer.data.tokenizers.characters import CharacterTokenizer
from transformer.data.tokenizers.hugging_face import LETTERS, LLAMA3_WORDS, WORDS, word_steps
from transformer.data.tokenizers.pairs import PairTokenizer, PieceTokenizer, Side, UnitTokenizer
from transformer.system.errors import UserError

# The names of WORD_PATTERNS in tokenizers.js; None: the step cuts nothing.
_WORDS: dict[tuple[str, Any], str | None] = {
    ("Split", WORDS): "qwen2",
    ("Split", LLAMA3_WORDS): "llama-bpe",
    ("Digits", True): "digits",
    ("ByteLevel", True): "gpt-2",
    ("ByteLevel", False): None,
}
# Classes of characters as the library has them, each by a step that finds all of the class.
_CLASSES = {"L": r"\p{L}+", "N": r"\p{N}+", "S": r"\s+"}
# All but surrogates, planes without any character so far, and those of private use.
_POINTS = (range(0xD800), range(0xE000, 0x40000), range(0xE0000, 0xE1000))


def tokenizer_data(tokenizer: Tokenizer | PairTokenizer) -> dict[str, Any]:
    """Raises: UserError for one of another program whose way of cutting a text is not known."""
    if isinstance(tokenizer, PairTokenizer):
        sides = {"source": _side(tokenizer.source), "target": _side(tokenizer.target)}
        return {"kind": "pairs", **sides}
    return _DATA[type(tokenizer)](tokenizer)


def _side(side: Side) -> dict[str, Any]:
    if isinstance(side, PieceTokenizer):
        return _pieces(side.bpe)
    assert isinstance(side, UnitTokenizer)
    if side.units == "words":
        return {"kind": "words", "vocabulary": side.vocabulary}
    return {"kind": "characters", "points": list(map(ord, side.vocabulary))}


def _characters(tokenizer: CharacterTokenizer) -> dict[str, Any]:
    # Numbers, because two halves of a character that stand beside each other would become one.
    return {"kind": "characters", "points": list(map(ord, tokenizer.vocabulary))}


def _bytes(tokenizer: ByteTokenizer) -> dict[str, Any]:
    return {"kind": "bytes", "end_of_text": tokenizer.end_of_text}


def _pieces(tokenizer: BpeTokenizer) -> dict[str, Any]:
    spec = tokenizer.spec
    words = _words_of(spec)
    ids: Mapping[str, int] = spec["model"]["vocab"]
    merges = [
        pair.split(" ") if isinstance(pair, str) else pair for pair in spec["model"]["merges"]
    ]
    of_bytes = [ids[letter] for letter in sorted(LETTERS, key=LETTERS.__getitem__)]
    made = [ids[left + right] for left, right in merges]
    joined = {*of_bytes, *made}
    others = {id_: part for id_, part in enumerate(tokenizer.parts) if part and id_ not in joined}
    specials = [token for token in spec["added_tokens"] if token["special"]]
    return {
        "kind": "bpe",
        "vocab_size": tokenizer.vocab_size,
        "end_of_text": tokenizer.end_of_text,
        "words": words,
        "classes": {name: _class(name) for name in ("L", "N", "S", *(["D"] * ("digits" in words)))},
        "nfc": bool(spec.get("normalizer")),
        "whole_words": bool(spec["model"].get("ignore_merges")),
        "bytes": of_bytes,
        "merges": [ids[part] for pair in merges for part in pair],
        "made": list(_runs(made)),
        "others": [[id_, part.decode("utf-8", "surrogateescape")] for id_, part in others.items()],
        "specials": [[token["id"], token["content"]] for token in specials],
    }


_DATA: dict[type[Tokenizer], Callable[[Any], dict[str, Any]]] = {
    CharacterTokenizer: _characters,
    ByteTokenizer: _bytes,
    BpeTokenizer: _pieces,
}


def _words_of(spec: Mapping[str, Any]) -> list[str]:
    """The steps that cut a text into words. Raises: UserError for one that no page knows."""
    for token in spec["added_tokens"]:
        if not token["special"]:
            raise _refusal(f"it looks for {token['content'][:40]!r} before it cuts a text")
    steps = [(name, _hashable(value)) for name, value in word_steps(spec.get("pre_tokenizer"))]
    for name, value in steps:
        if (name, value) not in _WORDS:
            raise _refusal(f"it cuts a text into words by {name} {str(value)[:60]}")
    return [found for step in steps if (found := _WORDS[step]) is not None]


def _hashable(value: Any) -> Any:
    """Of a step that is unknown as a whole, its keys are a list."""
    return tuple(value) if isinstance(value, list) else value


def _refusal(reason: str) -> UserError:
    return UserError(
        f"the tokenizer cannot go into a page: {reason}, which no page does; train with "
        "`tokenizer=bpe` anew, or export with `to=huggingface`"
    )


def _runs(numbers: list[int]) -> Iterator[int]:
    """Flat [first, length, ...] of numbers that follow each other."""
    starts = [n for n in range(len(numbers)) if n == 0 or numbers[n] != numbers[n - 1] + 1]
    for start, end in pairwise([*starts, len(numbers)]):
        yield numbers[start]
        yield end - start


@cache
def _class(name: str) -> list[int]:
    """Flat [first, length, ...] of the code points; each first counts from the end before it.

    They are found with the library itself: its Unicode is of another version than Python's and than
    that of each browser.
    """
    from tokenizers import Regex, pre_tokenizers

    digits = pre_tokenizers.Digits(individual_digits=False)
    step: Any = digits
    if name != "D":
        step = pre_tokenizers.Split(Regex(_CLASSES[name]), "removed", invert=True)
    text = "".join(map(chr, chain.from_iterable(_POINTS)))
    found, end = [], 0
    for word, _ in step.pre_tokenize_str(text):
        if name == "D" and len(digits.pre_tokenize_str("1" + word[0])) > 1:
            continue  # the others are not removed here
        found += [ord(word[0]) - end, len(word)]
        end = ord(word[-1]) + 1
    return found
