"""One token for each byte. Imports no torch."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transformer.data.tokenizers.byte_level import END_OF_TEXT, ByteLevelTokenizer
from transformer.data.tokenizers.hugging_face import (
    BYTE_LEVEL,
    LETTERS,
    same_tokenizer,
    spec_without_merges,
    special,
)
from transformer.data.tokenizers.utf8 import as_bytes

_END = 256


class ByteTokenizer(ByteLevelTokenizer):
    """The id of a byte is its value; one more id ends a text."""

    name = units = "bytes"
    reads_any_file = True
    end_of_text = _END

    def __init__(self) -> None:
        parts = [bytes([value]) for value in range(256)]
        super().__init__([*parts, b""], {_END: END_OF_TEXT})

    @classmethod
    def from_text(cls, text: str = "", num_train: int | None = None) -> "ByteTokenizer":
        return cls()

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "ByteTokenizer":
        if state != {"kind": cls.name}:
            raise ValueError("not the state of a tokenizer of bytes")
        return cls()

    @property
    def state(self) -> dict[str, Any]:
        return {"kind": self.name}

    @property
    def spec(self) -> dict[str, Any]:
        vocabulary = dict(sorted(LETTERS.items(), key=lambda item: item[1])) | {END_OF_TEXT: _END}
        added = [special(_END, END_OF_TEXT)]
        return spec_without_merges(vocabulary, added, pre_tokenizer=BYTE_LEVEL, decoder=BYTE_LEVEL)

    @classmethod
    def from_spec(cls, spec: dict[str, Any]) -> "ByteTokenizer | None":
        return made if same_tokenizer((made := cls()).spec, spec) else None

    def encode(self, text: str) -> NDArray[np.int32]:
        return self.encode_as(text, "i4")

    def encode_as(self, text: str, dtype: str) -> NDArray[Any]:
        return np.frombuffer(as_bytes(text), dtype=np.uint8).astype(dtype)

    def decode_bytes(self, ids: ArrayLike) -> bytes:
        numbers = np.asarray(ids, dtype=np.int64)
        if numbers.size and not 0 <= numbers.min() <= numbers.max() <= _END:
            raise IndexError("an id is outside the vocabulary")
        return numbers[numbers < _END].astype(np.uint8).tobytes()
