"""Encodes a text, and keeps the ids of a long one in the cache folder. Imports no torch."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from transformer.data.record import digest
from transformer.data.tokenizers.base import Tokenizer
from transformer.system.cache import cache_folder, kept

_MOST_KEPT = 8  # texts


def encoded(tokenizer: Tokenizer, text: str, cache_dir: str | None = None) -> NDArray[np.int32]:
    """`tokenizer.encode(text)`; a file in the cache folder is named by both hashes."""
    if tokenizer.kept_from is None or len(text) < tokenizer.kept_from:
        return tokenizer.encode(text)
    return kept_ids(
        tokenizer, digest(text), len(text), lambda: tokenizer.encode(text), cache_dir=cache_dir
    )


def kept_ids(
    tokenizer: Tokenizer,
    text_digest: str,
    num_characters: int,
    make: Callable[[], NDArray[np.int32]],
    cache_dir: str | None = None,
    head: int = 0,
) -> NDArray[np.int32]:
    """The ids that `make` gives, kept if the text is long; the first `head` numbers are no ids."""
    if tokenizer.kept_from is None or num_characters < tokenizer.kept_from:
        return make()
    state = json.dumps(tokenizer.state, sort_keys=True).encode()
    name = f"{text_digest[:32]}-{hashlib.sha256(state).hexdigest()[:32]}.npy"

    def read(path: Path) -> NDArray[np.int32]:
        ids = np.load(path, allow_pickle=False)
        if ids.ndim != 1 or ids.dtype != np.int32:
            raise ValueError("damaged")
        if not 0 <= ids[head:].min() <= ids[head:].max() < vocab_size:
            raise ValueError("damaged")
        return ids

    vocab_size = tokenizer.vocab_size
    return kept(cache_folder(cache_dir) / "texts" / name, make, read, _write, most_files=_MOST_KEPT)


def _write(path: Path, ids: NDArray[np.int32]) -> None:
    with open(path, "wb") as file:  # np.save adds an ending to a path
        np.save(file, ids, allow_pickle=False)
