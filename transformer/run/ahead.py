"""Makes the token files of a corpus before its first run. Imports no torch."""

from typing import Any

from transformer.data.reading import read_text_corpus
from transformer.data.text.settings import TextSettings
from transformer.data.tokenizer_choice import TokenizerChoice


def tokenize(data_path: Any, settings: TextSettings, choice: TokenizerChoice) -> str:
    """The file with the tokens, which a run with the same keys finds.

    Raises: UserError for what cannot be read, and for a disk that is full.
    """
    corpus = read_text_corpus(data_path, settings, choice, build=False)
    tokens: Any = corpus.tokens  # a memory map
    return str(tokens.filename)
