"""The new text of a row as a corpus has it. Imports no torch."""

from transformer.data.tokenizers.base import Tokenizer
from transformer.data.tokenizers.utf8 import printable
from transformer.generation.continuation import Continuation

_NOWHERE = "\ud800"  # no text that was read from a file has it
_REPLACED = "\ufffd"


def exact_text(row: Continuation, tokenizer: Tokenizer) -> str:
    """Bytes that are no UTF-8 as Python's surrogateescape reads them, as in a corpus.

    Where a token was cut, they are not known any more, and become a character that no corpus has.
    """
    text = row.text
    if _REPLACED not in text:
        return text
    data = b"".join(map(tokenizer.bytes_of, row.tokens))
    exact = data.decode("utf-8", "surrogateescape")
    return exact if printable(exact) == text else text.replace(_REPLACED, _NOWHERE)
