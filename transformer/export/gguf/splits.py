"""The ways of cutting a text into words that llama.cpp knows, by its names. Imports no torch.

It refuses a file with another name (https://github.com/ggml-org/llama.cpp/issues/9927).
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from transformer.data.tokenizers.hugging_face import WORDS, WORDS_NAME
from transformer.system.errors import UserError

_Step = tuple[str, Any]
_BYTES, _GPT2 = ("ByteLevel", False), ("ByteLevel", True)  # the latter cuts words as GPT-2
# Of Llama 3 (https://huggingface.co/meta-llama/Meta-Llama-3-8B/blob/main/tokenizer.json).
_LLAMA3 = WORDS.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
_NAMES: dict[tuple[_Step, ...], str] = {
    (("Split", WORDS), _BYTES): WORDS_NAME,
    (_GPT2,): "gpt-2",
    (("Digits", True), _GPT2): "smollm",
    (("Split", _LLAMA3), _BYTES): "llama-bpe",
}
_WHOLE_WORDS = ("llama-bpe",)  # a word that is a token is taken whole, whatever the merges are


def split_of(spec: Mapping[str, Any]) -> str:
    """Raises: UserError for a way that llama.cpp does not know, and for other steps before it."""
    if spec.get("normalizer"):
        raise _refusal("it normalizes a text first, which llama.cpp does not")
    steps = tuple(_steps(spec.get("pre_tokenizer")))
    if not spec["model"]["merges"] and steps in ((), (_BYTES,)):
        return WORDS_NAME  # any: characters and bytes are never joined with others
    if steps not in _NAMES:
        shown = ", ".join(f"{name} {json.dumps(value)}"[:80] for name, value in steps) or "no step"
        raise _refusal(f"llama.cpp does not know how it cuts a text into words ({shown})")
    name = _NAMES[steps]
    if bool(spec["model"].get("ignore_merges")) != (name in _WHOLE_WORDS):
        raise _refusal("its ignore_merges is not as llama.cpp has it for such words")
    return name


def _refusal(reason: str) -> UserError:
    return UserError(
        f"the tokenizer cannot go into a GGUF file: {reason}; train with `tokenizer=bpe` anew, or "
        "export with `to=huggingface`"
    )


def _steps(step: Any) -> Iterator[_Step]:
    """The steps without what changes no ids; one of an unknown kind as a whole."""
    kind = step["type"] if step else None
    if kind == "Sequence":
        for part in step["pretokenizers"]:
            yield from _steps(part)
    elif kind == "ByteLevel":
        yield kind, bool(step.get("use_regex", True))
    elif kind == "Digits":
        yield kind, bool(step.get("individual_digits"))
    elif kind == "Split" and step["behavior"] == "Isolated" and not step.get("invert"):
        yield kind, step["pattern"].get("Regex")
    elif kind is not None:
        yield kind, sorted(step)
