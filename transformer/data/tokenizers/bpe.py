"""Byte pairs: pieces of one or more bytes, learned from a text. Imports no torch.

The library `tokenizers` learns, reads and applies them; it is imported when it is first used.
"""

import hashlib
import json
import logging
from functools import cached_property
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from transformer.data.tokenizers.bpe_training import learned, vocab_size_for
from transformer.data.tokenizers.byte_level import END_OF_TEXT, ByteLevelTokenizer
from transformer.data.tokenizers.distinct_units import DistinctUnits
from transformer.data.tokenizers.hugging_face import (
    BYTE_LEVEL,
    OTHER_WORDS,
    check_spec,
    library,
    part_of,
    words_name,
)
from transformer.data.tokenizers.splitting import blocks
from transformer.data.tokenizers.utf8 import as_bytes, as_text
from transformer.system.errors import UserError

if TYPE_CHECKING:
    import tokenizers

LEAST_VOCAB_SIZE = 257  # the bytes, and the end of a text
MOST_VOCAB_SIZE = 1_000_000
# A text on which a tokenizer from elsewhere shows that it gives back what it gets.
_PROBE = " A b\n\n\tc  's 1234 +- ()\r\n \u00e9\u0301 \u6f22\u5b57\u3002\U0001f642 <|end|> \x00 x\n"
_BLOCKS_AT_ONCE = 64
_ENDS = (END_OF_TEXT, "<|end_of_text|>", "</s>", "<eos>", "<|im_end|>", "<|eot_id|>")

log = logging.getLogger(__name__)


class BpeTokenizer(ByteLevelTokenizer):
    """Byte-level byte pair encoding (Sennrich et al. 2016, arXiv:1508.07909; GPT-2, section 2.2).

    `spec` is the content of a `tokenizer.json` of Hugging Face's tokenizers. `split` names how a
    text is cut into words, which no piece crosses; it is `custom` for an unknown way.

    `end_of_text` is the name of the special token that ends a text; by default it is the first of
    some usual names. With the normalizer NFC (as Qwen has it), a text becomes NFC first.

    Raises: ValueError for a spec that is damaged or of another kind.
    """

    name = "bpe"
    units = "pieces"
    keys = ("vocab_size", "min_frequency")
    is_learned = True
    kept_from = 4_000_000

    def __init__(self, spec: dict[str, Any], end_of_text: str | None = None) -> None:
        check_spec(spec)
        self._spec = spec
        self._end = end_of_text
        self.split = words_name(spec)
        self._library = library(spec)
        tokens = self._library.get_vocab(with_added_tokens=True)
        added = {token["id"]: token for token in spec["added_tokens"]}
        specials = {id_: token["content"] for id_, token in added.items() if token["special"]}
        texts = {id_: token["content"].encode() for id_, token in added.items()} | {
            id_: b"" for id_ in specials
        }
        names = sorted(tokens, key=tokens.__getitem__)
        parts = (texts[n] if n in texts else part_of(name) for n, name in enumerate(names))
        super().__init__(list(parts), specials)
        ends = {name: id_ for id_, name in specials.items()}
        if end_of_text is not None and end_of_text not in ends:
            raise ValueError(f"its end of a text, {end_of_text[:40]!r}, is no special token")
        names = _ENDS if end_of_text is None else (end_of_text,)
        self.end_of_text = next((ends[name] for name in names if name in ends), None)
        if self.decode(self.encode(_PROBE)) != self._normalized(_PROBE):
            raise ValueError("it does not give a text back as it was")

    @classmethod
    def from_text(
        cls,
        text: str,
        num_train: int | None = None,
        *,
        vocab_size: int | Literal["auto"] = "auto",
        min_frequency: int = 2,
    ) -> "BpeTokenizer":
        """Learns pieces that stand `min_frequency` times or more in the training split.

        Raises: UserError for a vocab_size that has no room for the bytes.
        """
        train = text[:num_train]
        wanted = vocab_size_for(len(as_bytes(train))) if vocab_size == "auto" else vocab_size
        if wanted < LEAST_VOCAB_SIZE:
            raise UserError(
                f"`vocab_size={wanted}` is too small: give {LEAST_VOCAB_SIZE} or more, for the 256 "
                "bytes and the end of a text"
            )
        made = cls(learned(train, wanted, min_frequency, END_OF_TEXT))
        if made.vocab_size < wanted:
            log.warning(
                "vocab_size: %s pieces are taken, not %s: no other pair of pieces stands "
                "min_frequency=%d times in the training split",
                *(f"{made.vocab_size:,}", f"{wanted:,}", min_frequency),
            )
        return made

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "BpeTokenizer":
        if state.get("kind") != cls.name or not isinstance(state.get("tokenizer"), dict):
            raise ValueError("not the state of a tokenizer of byte pairs")
        return cls(state["tokenizer"], state.get("end_of_text"))

    @property
    def state(self) -> dict[str, Any]:
        state = {"kind": self.name, "split": self.split, "tokenizer": self._spec}
        return state if self._end is None else state | {"end_of_text": self._end}

    @property
    def spec(self) -> dict[str, Any]:
        """Does as this program does: puts no tokens before a text, and turns pieces into bytes."""
        decoder = self._spec.get("decoder")
        if not isinstance(decoder, dict) or decoder.get("type") != BYTE_LEVEL["type"]:
            decoder = BYTE_LEVEL
        steps = dict.fromkeys(("post_processor", "truncation", "padding"))
        return {**self._spec, **steps, "decoder": decoder}

    def ended_by(self, token: int) -> "BpeTokenizer":
        """The same tokenizer with another token that ends a text, if this one is special."""
        is_special = any(t["id"] == token and t["special"] for t in self._spec["added_tokens"])
        if token == self.end_of_text or not is_special:
            return self
        return BpeTokenizer(self._spec, self.pieces[token])

    @cached_property
    def digest(self) -> str:
        """Tells tokenizers apart."""
        return hashlib.sha256(json.dumps(self.state, sort_keys=True).encode()).hexdigest()

    def encode(self, text: str) -> NDArray[np.int32]:
        """The ids that the library gives for the whole text; equal words are looked up once.

        Bytes that are no UTF-8 count as U+FFFD.
        """
        if not text.isascii():
            text = as_text(as_bytes(text))
        if self.split == OTHER_WORDS:
            parts = blocks(text)
            at_once = iter(lambda: list(islice(parts, _BLOCKS_AT_ONCE)), [])  # by several threads
            encoded = chain.from_iterable(map(self._ids, at_once))
            return np.concatenate([np.zeros(0, np.int32), *encoded])
        return self._units.encode(self._normalized(text))

    def _normalized(self, text: str) -> str:
        normalizer = self._library.normalizer
        return text if normalizer is None else normalizer.normalize_str(text)

    @cached_property
    def _units(self) -> DistinctUnits:
        return DistinctUnits(self._ids, self._num_bytes)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_units"}

    def without_last(self, tokens: list[int]) -> tuple[list[int], bytes]:
        return (tokens[:-1], self.parts[tokens[-1]]) if len(tokens) > 1 else (tokens, b"")

    def _ids(self, texts: list[str]) -> list[NDArray[np.int32]]:
        encoded = self._library.encode_batch_fast(texts, add_special_tokens=False)
        return [np.array(one.ids, dtype=np.int32) for one in encoded]

    @property
    def library(self) -> "tokenizers.Tokenizer":
        """The library's own tokenizer; its `save` writes a `tokenizer.json`."""
        return self._library
