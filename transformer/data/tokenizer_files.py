"""Reads a tokenizer from a file: a `tokenizer.json`, or a model's file. Imports no torch."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError, safe_open

from transformer.data.tokenizers.base import Tokenizer
from transformer.data.tokenizers.registry import tokenizer_from_spec, tokenizer_from_state
from transformer.system.errors import UserError
from transformer.system.files import read_bytes, read_utf8

T = TypeVar("T")

MODEL_FILE = ".safetensors"
ENDINGS = (".json", MODEL_FILE)


def read_tokenizer(path: str | Path) -> Tokenizer:
    """Runs no code of the file.

    Raises: UserError for a file that is missing, damaged, or holds another kind of tokenizer.
    """
    if Path(path).suffix.lower() == MODEL_FILE:
        made = tokenizer_of(path, partial(tokenizer_from_state, _of_model(path)))
    else:
        made = tokenizer_of(path, partial(tokenizer_from_spec, read_json(path)))
    if not isinstance(made, Tokenizer):
        raise UserError(f"{path}: holds a model of pairs, whose tokenizer is not for a text")
    return made


def tokenizer_of(path: str | Path, make: Callable[[], T]) -> T:
    """What `make` makes of the content of a file. Raises: UserError that names the file."""
    try:
        return make()
    except UserError:
        raise
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(
            f"{path}: cannot be used as a tokenizer: {error}: give a tokenizer.json with "
            "byte-level BPE, or a model.safetensors of this program"
        ) from None


def read_json(path: str | Path) -> dict[str, Any]:
    """Raises: UserError for a file that is missing, or is not a JSON object."""
    try:
        content = json.loads(read_utf8(path, "tokenizer file"))
    except (ValueError, RecursionError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path}: damaged: not JSON ({error}); give another tokenizer") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: not a file of Hugging Face's tokenizers; give another")
    return content


def _of_model(path: str | Path) -> Any:
    if not Path(path).is_file():
        read_bytes(path, "tokenizer file")
    try:
        with safe_open(path, framework="numpy") as file:
            return json.loads((file.metadata() or {})["tokenizer"])
    except (OSError, SafetensorError, KeyError, ValueError, RecursionError):
        raise UserError(
            f"{path}: damaged or not a model: it has no tokenizer; give another file"
        ) from None
