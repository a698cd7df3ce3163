"""The tokenizer of a pretrained model's folder. Imports no torch."""

from collections.abc import Iterator
from os.path import isfile
from pathlib import Path
from typing import Any

from transformer.data.tokenizer_files import read_json, tokenizer_of
from transformer.data.tokenizers.base import Tokenizer
from transformer.data.tokenizers.byte_level import END_OF_TEXT
from transformer.data.tokenizers.hugging_face import filled
from transformer.data.tokenizers.registry import tokenizer_from_spec
from transformer.storage.pretrained.places import (
    MERGES,
    TOKENIZER,
    TOKENIZER_CONFIG,
    VOCABULARY,
)
from transformer.storage.pretrained.values import Values
from transformer.system.errors import UserError
from transformer.system.files import read_utf8

_GPT2 = "GPT2LMHeadModel"  # of other classes, these two files do not say how words are cut


def read_folders_tokenizer(
    folder: Path, class_name: str, vocab_size: int, end: int | None
) -> Tokenizer:
    """The tokenizer, with unused tokens up to the model's vocab_size.

    `end` is the id of the special token that ends a text, if the model says one.

    Raises: UserError for a folder without a tokenizer, and for one of another kind than this
    program's characters and byte-level BPE, or with more tokens than the model.
    """
    path = folder / TOKENIZER
    if isfile(path):
        spec = read_json(path)
    elif isfile(folder / VOCABULARY) and isfile(folder / MERGES) and class_name == _GPT2:
        path, spec = folder / VOCABULARY, _spec_of_two_files(folder)
    else:
        two = f", or {VOCABULARY} and {MERGES}" if class_name == _GPT2 else ""
        raise UserError(
            f"{folder}: has no tokenizer ({TOKENIZER}{two}), so it cannot read or write text: copy "
            "it there; in Python, transformer.read_pretrained(folder).model() needs none"
        )
    return tokenizer_of(path, lambda: _made(spec, vocab_size, end))


def _made(spec: dict[str, Any], vocab_size: int, end: int | None) -> Tokenizer:
    made = tokenizer_from_spec(filled(spec, vocab_size))
    if made.vocab_size != vocab_size:
        raise ValueError(f"it has {made.vocab_size:,} tokens, but the model {vocab_size:,}")
    return made if end is None else made.ended_by(end)


def _spec_of_two_files(folder: Path) -> dict[str, Any]:
    """What GPT-2's two files leave to the program that reads them."""
    vocabulary = read_json(folder / VOCABULARY)
    lines = read_utf8(folder / MERGES, "file of merges").split("\n")
    merges = [line.split(" ") for line in lines if line and not line.startswith("#version")]
    if not all(len(pair) == 2 for pair in merges):
        raise UserError(f"{folder / MERGES}: damaged: a line is not two pieces; get it again")
    steps = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    steps["use_regex"] = True
    return {
        "added_tokens": list(_added(folder, vocabulary)),
        "pre_tokenizer": steps,
        "decoder": steps,
        "model": {"type": "BPE", "vocab": vocabulary, "merges": merges},
    }


def _added(folder: Path, vocabulary: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The added tokens: those that tokenizer_config.json names, or GPT-2's only one."""
    path = folder / TOKENIZER_CONFIG
    config = Values.read(path, "tokenizer config") if isfile(path) else Values(path, {})
    named = config.inner("added_tokens_decoder")
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    if named.names():
        for id_ in named.names():
            token = named.inner(id_)
            if not id_.isdecimal():
                raise UserError(f"{path}: damaged: the id of an added token is {id_!r}")
            own = {name: token.truth(name, default=value) for name, value in plain.items()}
            special = token.truth("special", default=False)
            yield {"id": int(id_), "content": token.get("content"), "special": special} | own
    elif END_OF_TEXT in vocabulary:
        id_ = vocabulary[END_OF_TEXT]
        yield {"id": id_, "content": END_OF_TEXT, "special": True} | plain
