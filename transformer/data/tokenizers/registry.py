"""The table of tokenizers: every `Tokenizer` class in this folder. Imports no torch."""

from typing import Any

from transformer.data import tokenizers
from transformer.data.tokenizers.base import Tokenizer
from transformer.data.tokenizers.bpe import BpeTokenizer
from transformer.data.tokenizers.pairs import PairTokenizer
from transformer.system.registry import classes_in

TOKENIZERS: dict[str, type[Tokenizer]] = {
    kind.name: kind for kind in classes_in(tokenizers, Tokenizer)
}
# Keys of a config that some tokenizers have and others do not.
PIECE_KEYS = sorted({key for kind in TOKENIZERS.values() for key in kind.keys})
# The values of `kind` in model files.
_KINDS = {"character": TOKENIZERS["characters"], PairTokenizer.kind: PairTokenizer, **TOKENIZERS}


def tokenizer_from_state(state: Any) -> Tokenizer | PairTokenizer:
    """Raises: ValueError if none of these tokenizers wrote the state."""
    kind = state.get("kind") if isinstance(state, dict) else None
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ValueError(f"the tokenizer is unknown; known are {', '.join(_KINDS)}")
    return _KINDS[kind].from_state(state)


def tokenizer_from_spec(spec: dict[str, Any]) -> Tokenizer:
    """The tokenizer of a tokenizer.json: one that this program has written, or byte-level BPE.

    Raises: ValueError for one of another kind.
    """
    found = (kind.from_spec(spec) for kind in TOKENIZERS.values())
    return next((made for made in found if made is not None), None) or BpeTokenizer(spec)
