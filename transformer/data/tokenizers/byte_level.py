"""The base class of tokenizers whose tokens are bytes, one or several. Imports no torch."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transformer.data.tokenizers.base import TextSize, Tokenizer
from transformer.data.tokenizers.utf8 import as_text, count_characters

END_OF_TEXT = "<|endoftext|>"  # its name in GPT-2 and many models since


def shown(data: bytes) -> str:
    """The text of some bytes, or if they are no whole characters, each byte in hexadecimal."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return "".join(f"\\x{byte:02x}" for byte in data)


class ByteLevelTokenizer(Tokenizer):
    """Every text has ids: each of the 256 bytes is a token, and others may be several bytes.

    `parts` are the bytes of each id. A special token has none: its name is in `specials`. Text that
    looks like such a name stays text.
    """

    def __init__(self, parts: Sequence[bytes], specials: Mapping[int, str]) -> None:
        self.parts = list(parts)
        self.pieces = [specials.get(id_, shown(part)) for id_, part in enumerate(self.parts)]
        self._num_bytes = np.array(list(map(len, self.parts)), dtype=np.int64)

    @abstractmethod
    def encode(self, text: str) -> NDArray[np.int32]: ...

    def encode_known(self, text: str) -> tuple[NDArray[np.int32], int]:
        return self.encode(text), 0

    def unknown(self, text: str) -> list[str]:
        return []

    def decode(self, ids: ArrayLike) -> str:
        """`decode(encode(text)) == text`; what is no UTF-8 is shown as U+FFFD."""
        return as_text(self.decode_bytes(ids))

    def decode_bytes(self, ids: ArrayLike) -> bytes:
        return b"".join(map(self.parts.__getitem__, np.asarray(ids, dtype=np.int64).tolist()))

    def size(self, ids: ArrayLike) -> TextSize:
        num_bytes = self._num_bytes[np.asarray(ids, dtype=np.int64)].sum()
        return TextSize(count_characters(self.decode_bytes(ids)), int(num_bytes))

    def bytes_of(self, token: int) -> bytes:
        return self.parts[token]
