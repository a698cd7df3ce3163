"""Reads the corpus that a config describes: one text, documents, or token files. No torch."""

from typing import Any

from transformer.data.sources.paths import is_one_text
from transformer.data.sources.reading import total_bytes
from transformer.data.text.collection import Collection
from transformer.data.text.corpus import CHARACTERS, Corpus
from transformer.data.text.settings import TextSettings
from transformer.data.tokenizer_choice import TokenizerChoice

_MB = 1_000_000


def is_large(data_path: Any, settings: TextSettings, *, build: bool) -> bool:
    """Whether this corpus is read from token files. Raises: UserError if there is none."""
    size = total_bytes(data_path, settings.val_path, settings.reading(), build=build)
    return size > settings.token_files_from_mb * _MB


def read_text_corpus(
    data_path: Any, settings: TextSettings, choice: TokenizerChoice = CHARACTERS, *, build: bool
) -> Corpus:
    """Raises: UserError for what cannot be read or is empty."""
    if is_large(data_path, settings, build=build):
        from transformer.data.token_files.preparing import open_corpus  # most texts are short

        return open_corpus(data_path, settings, choice, build=build)
    is_own = settings.val_path is None and not settings.changes_documents
    if is_own and is_one_text(data_path):
        return Corpus.from_file(
            data_path,
            val_fraction=settings.val_fraction,
            test_fraction=settings.test_fraction,
            choice=choice,
            build=build,
            encoding=settings.encoding,
        )
    return Collection.read(data_path, settings, choice, build=build).corpus(settings, choice)
