"""A tokenizer of byte pairs, learned once."""

import pytest

from tests.command_line.conftest import TEXT
from tests.data.tokenizers.hostile import PIECES
from transformer.data.tokenizers.bpe import BpeTokenizer


@pytest.fixture(scope="package")
def pairs():
    return BpeTokenizer.from_text(TEXT + "".join(PIECES) * 3, vocab_size=400)
