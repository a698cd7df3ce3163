"""The `tokenizer.json` of Hugging Face's tokenizers: what is read of it and checked. No torch."""

import json
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from transformer.system.errors import in_one_line

if TYPE_CHECKING:
    import tokenizers

# How a text is cut into words before pieces are learned or found: the regular expression of Qwen2
# (https://huggingface.co/Qwen/Qwen2-0.5B/blob/main/tokenizer.json), which other programs know under
# this name. Letters of any script, single digits, punctuation and white space stay apart.
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
WORDS_NAME, OTHER_WORDS = "qwen2", "custom"
# Of Llama 3 (https://huggingface.co/meta-llama/Meta-Llama-3-8B/blob/main/tokenizer.json).
LLAMA3_WORDS = WORDS.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
_SPLIT = {"type": "Split", "pattern": {"Regex": WORDS}, "behavior": "Isolated", "invert": False}
# Writes a text in letters for its bytes, and these as a text again.
BYTE_LEVEL = {
    "type": "ByteLevel",
    **dict.fromkeys(("add_prefix_space", "trim_offsets", "use_regex"), False),
}
# Of an added token: whether it takes the white space beside it, which would then be lost.
_GREEDY = ("lstrip", "rstrip", "single_word")
_PLAIN = dict.fromkeys((*_GREEDY, "normalized"), False)


def _letters() -> dict[str, int]:
    """GPT-2's letter for each byte, in which a file writes its pieces."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = (byte for byte in range(256) if byte not in plain)
    found = {chr(byte): byte for byte in plain}
    return found | {chr(256 + n): byte for n, byte in enumerate(others)}


LETTERS = _letters()


def spec_without_merges(
    vocabulary: dict[str, int], added: list[dict[str, Any]], **steps: dict[str, Any]
) -> dict[str, Any]:
    """A tokenizer.json as the library writes it: BPE in which each symbol is a token of its own.

    A symbol that the vocabulary lacks is left out. `steps` are its pre_tokenizer and decoder.
    """
    nothing = ("version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer")
    nothing += ("post_processor", "decoder", "model")
    unused = ("dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix")
    switches = ("fuse_unk", "byte_fallback", "ignore_merges")
    model = {"type": "BPE", **dict.fromkeys(unused), **dict.fromkeys(switches, False)}
    model |= {"vocab": vocabulary, "merges": []}
    given = {"version": "1.0", "added_tokens": added, "model": model}
    return dict.fromkeys(nothing) | given | steps


def special(id_: int, name: str) -> dict[str, Any]:
    """An added token as a tokenizer.json has it."""
    return {"id": id_, "content": name, **_PLAIN, "special": True}


def same_tokenizer(first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Whether two specs give the same ids and texts."""
    parts = ("added_tokens", "normalizer", "pre_tokenizer", "decoder", "model")
    return all(first.get(part) == second.get(part) for part in parts)


def part_of(name: str) -> bytes:
    """The bytes of a piece. Raises: ValueError for a name that is not in GPT-2's letters."""
    try:
        return bytes(map(LETTERS.__getitem__, name))
    except KeyError:
        raise ValueError(f"its piece {name[:40]!r} is not written in bytes") from None


def library(spec: dict[str, Any]) -> "tokenizers.Tokenizer":
    """The library's tokenizer, to which the names of special tokens are text like any other.

    Raises: ValueError for a spec that the library does not take.
    """
    # With a value, the library does not warn when a data loader forks processes, which encode
    # nothing.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    import tokenizers

    try:
        made = tokenizers.Tokenizer.from_str(json.dumps(spec))
    except Exception as error:  # the library's own type
        raise ValueError(in_one_line(error)) from None
    made.encode_special_tokens = True
    made.no_truncation()
    made.no_padding()
    return made


def check_spec(spec: dict[str, Any]) -> None:
    """Raises: ValueError for a file that is damaged, of another kind, or has gaps in its ids."""
    model = spec.get("model")
    if not isinstance(model, dict) or not isinstance(spec.get("pre_tokenizer"), dict | None):
        raise ValueError("not a file of Hugging Face's tokenizers: it has no model")
    if model.get("type", "BPE") != "BPE" or not isinstance(model.get("vocab"), dict):
        raise ValueError(f"it is of the kind {model.get('type')!s:.40}, and only BPE is read")
    if not _is_byte_level(spec.get("pre_tokenizer")):
        raise ValueError("its BPE is not byte-level (no ByteLevel without add_prefix_space)")
    for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback"):
        if model.get(key):
            raise ValueError(f"its model has {key}, which is not read")
    _check_normalizer(spec.get("normalizer"))
    _check_ids(model["vocab"], spec.setdefault("added_tokens", []))


def _check_normalizer(normalizer: Any) -> None:
    """Raises: ValueError for one that would change what a reader sees: all but NFC."""
    if not normalizer:
        return
    kind = normalizer.get("type") if isinstance(normalizer, dict) else normalizer
    steps = normalizer.get("normalizers") if kind == "Sequence" else None
    for step in steps if isinstance(steps, list) else ():
        _check_normalizer(step)
    if kind != "NFC" and not isinstance(steps, list):
        raise ValueError(
            f"its normalizer ({kind!s:.40}) would change a text; only NFC is read: set it to null"
        )


def filled(spec: dict[str, Any], vocab_size: int) -> dict[str, Any]:
    """The spec with a token for each id below vocab_size that has none: no text has such a token.

    Models have more rows than their tokenizers have tokens, so that their number is a round one.
    """
    model, added = spec.get("model"), spec.get("added_tokens") or []
    model = model if isinstance(model, dict) else {}
    vocabulary = model.get("vocab")
    if not isinstance(vocabulary, dict) or not isinstance(added, list):
        return spec  # damaged, as `check_spec` will say
    taken = {token.get("id") for token in added if isinstance(token, dict)}
    taken.update(id_ for id_ in vocabulary.values() if isinstance(id_, int))
    # The space in its name is none of the letters in which the bytes of a text are written.
    names = {f"<unused {id_}>": id_ for id_ in range(vocab_size) if id_ not in taken}
    more = [{"id": id_, "content": name, "special": True} | _PLAIN for name, id_ in names.items()]
    model = {**model, "vocab": vocabulary | names} if names else model
    return {**spec, "model": model, "added_tokens": [*added, *more]}


def words_name(spec: dict[str, Any]) -> str:
    """WORDS_NAME for a file that cuts a text by WORDS alone, and else OTHER_WORDS."""
    if any(not token["special"] for token in spec["added_tokens"]):  # may hold spaces
        return OTHER_WORDS
    steps = spec["pre_tokenizer"].get("pretokenizers", [])
    by_words = len(steps) == 2 and steps[0] == _SPLIT and not steps[1].get("use_regex", True)
    return WORDS_NAME if by_words else OTHER_WORDS


def word_steps(step: Any) -> Iterator[tuple[str, Any]]:
    """How a pre_tokenizer cuts a text, without what changes no ids; an unknown step as a whole."""
    kind = step["type"] if step else None
    if kind == "Sequence":
        for part in step["pretokenizers"]:
            yield from word_steps(part)
    elif kind == "ByteLevel":
        yield kind, bool(step.get("use_regex", True))
    elif kind == "Digits":
        yield kind, bool(step.get("individual_digits"))
    elif kind == "Split" and step["behavior"] == "Isolated" and not step.get("invert"):
        yield kind, step["pattern"].get("Regex")
    elif kind is not None:
        yield kind, sorted(step)


def _is_byte_level(pre_tokenizer: Any) -> bool:
    if not isinstance(pre_tokenizer, dict):
        return False
    steps = pre_tokenizer.get("pretokenizers", [pre_tokenizer])
    steps = [step for step in steps if isinstance(step, dict)]
    of_bytes = [step for step in steps if step.get("type") == "ByteLevel"]
    return len(of_bytes) == 1 and not of_bytes[0].get("add_prefix_space", True)


def _check_ids(vocabulary: dict[str, Any], added: Any) -> None:
    names = {"content": str, "id": int, "special": bool}
    for token in added if isinstance(added, list) else [None]:
        if not isinstance(token, dict) or any(
            type(token.get(name)) is not kind for name, kind in names.items()
        ):
            raise ValueError("its added_tokens are damaged")
        if not token["special"] and any(token.get(key) for key in _GREEDY):
            raise ValueError(f"its added token {token['content'][:40]!r} takes spaces beside it")
    ids = dict(vocabulary) | {token["content"]: token["id"] for token in added}
    if any(type(id_) is not int for id_ in ids.values()):
        raise ValueError("an id is not a whole number")
    taken = set(ids.values())
    gap = next((id_ for id_ in range(len(ids)) if id_ not in taken), None)
    if gap is not None:
        raise ValueError(f"its {len(ids):,} ids have a gap: no piece has the id {gap:,}")
    if missing := [letter for letter in LETTERS if letter not in vocabulary]:
        raise ValueError(f"{len(missing)} of the 256 bytes have no piece, {missing[0]!r} first")
