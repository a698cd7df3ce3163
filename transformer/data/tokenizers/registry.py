"""The tokenizers by name: every class of this folder that is a `Tokenizer`. Imports no torch."""

from typing import Any

from transformer.data import tokenizers
from transformer.data.tokenizers.base import Tokenizer
from transformer.data.tokenizers.pairs import PairTokenizer
from transformer.system.registry import classes_in

TOKENIZERS: dict[str, type[Tokenizer]] = {
    kind.name: kind for kind in classes_in(tokenizers, Tokenizer)
}
# What a model's file calls them.
_KINDS = {"character": TOKENIZERS["characters"], PairTokenizer.kind: PairTokenizer, **TOKENIZERS}


def tokenizer_from_state(state: Any) -> Tokenizer | PairTokenizer:
    """Raises: ValueError for a state that none of our tokenizers wrote."""
    kind = state.get("kind") if isinstance(state, dict) else None
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ValueError(f"no tokenizer of ours; known are {', '.join(_KINDS)}")
    return _KINDS[kind].from_state(state)
