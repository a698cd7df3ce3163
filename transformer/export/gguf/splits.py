"""The ways of cutting a text into words that llama.cpp knows, by its names. Imports no torch.

It refuses a file with another name (https://github.com/ggml-org/llama.cpp/issues/9927).
"""

import json
from collections.abc import Mapping
from typing import Any

from transformer.data.tokenizers.hugging_face import LLAMA3_WORDS, WORDS, WORDS_NAME, word_steps
from transformer.system.errors import UserError

_Step = tuple[str, Any]
_BYTES, _GPT2 = ("ByteLevel", False), ("ByteLevel", True)  # the latter cuts words as GPT-2
_NAMES: dict[tuple[_Step, ...], str] = {
    (("Split", WORDS), _BYTES): WORDS_NAME,
    (_GPT2,): "gpt-2",
    (("Digits", True), _GPT2): "smollm",
    (("Split", LLAMA3_WORDS), _BYTES): "llama-bpe",
}
_WHOLE_WORDS = ("llama-bpe",)  # a word that is a token is taken whole, whatever the merges are


def split_of(spec: Mapping[str, Any]) -> str:
    """Raises: UserError for a way that llama.cpp does not know, and for other steps before it."""
    if spec.get("normalizer"):
        raise _refusal("it normalizes a text first, which llama.cpp does not")
    steps = tuple(word_steps(spec.get("pre_tokenizer")))
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
