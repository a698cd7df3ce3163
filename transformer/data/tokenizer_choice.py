"""Which tokenizer a text gets. Imports no torch."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from transformer.data.tokenizer_files import read_tokenizer
from transformer.data.tokenizers.base import Tokenizer
from transformer.data.tokenizers.registry import TOKENIZERS
from transformer.system.cache import cache_folder, kept

_MOST_KEPT = 16
_VERSION = "1"  # of the way in which tokenizers are learned


@dataclass(frozen=True, kw_only=True)
class TokenizerChoice:
    """The keys of a config about a tokenizer.

    `recall` gives the one of a resumed run, or of the model that a run starts from.
    """

    tokenizer: str = "characters"  # the name of a kind, or the path of a file
    vocab_size: int | Literal["auto"] = "auto"
    min_frequency: int = 2
    cache_dir: str | None = None
    start_from: str | None = None
    recall: Callable[[], Any] | None = None

    @cached_property
    def given(self) -> Tokenizer | None:
        """The tokenizer that is there already: of another run, or of a file."""
        kind = TOKENIZERS.get(self.tokenizer)
        if self.recall and (self.start_from or kind is None or kind.is_learned):
            return self.recall()
        return read_tokenizer(self.tokenizer) if kind is None else None

    def given_for(self, symbols: str) -> Tokenizer | None:
        """`given`; the one of a model that a run starts from also learns these characters."""
        return self.given.grown(symbols) if self.given and self.start_from else self.given

    @property
    def reads_any_file(self) -> bool:
        return (self.given or TOKENIZERS[self.tokenizer]).reads_any_file

    @property
    def learns(self) -> bool:
        """Whether the tokenizer is learned from the training split."""
        return self.given is None and TOKENIZERS[self.tokenizer].is_learned

    def make(self, text: str, num_train: int) -> Tokenizer:
        """Of a text whose first `num_train` characters are the training split.

        What is learned from a long text is kept in the cache folder.
        """
        if (given := self.given_for(text)) is not None:
            return given
        kind = TOKENIZERS[self.tokenizer]
        settings = {key: getattr(self, key) for key in kind.keys}
        if kind.kept_from is None or num_train < kind.kept_from:
            return kind.from_text(text, num_train, **settings)
        facts = [_VERSION, kind.name, sorted(settings.items())]
        digest = hashlib.sha256(json.dumps(facts).encode())
        digest.update(text[:num_train].encode("utf-8", "surrogatepass"))
        return kept(
            cache_folder(self.cache_dir) / "tokenizers" / f"{digest.hexdigest()[:32]}.json",
            lambda: kind.from_text(text, num_train, **settings),
            lambda path: _read(kind, path),
            _write,
            most_files=_MOST_KEPT,
        )


def _read(kind: type[Tokenizer], path: Path) -> Tokenizer:
    """Raises: ValueError for a file that is damaged."""
    try:
        return kind.from_state(json.loads(path.read_text(encoding="utf-8")))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(str(error)) from None


def _write(path: Path, made: Tokenizer) -> None:
    path.write_text(json.dumps(made.state), encoding="utf-8")
