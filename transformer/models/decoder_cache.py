"""What a decoder keeps beside its tokens: the memory, and each block's keys and values of it."""

from collections.abc import Callable

from jaxtyping import Bool, Float, Int
from torch import Tensor

from transformer.models.cache import Cache

KeysValues = tuple[Float[Tensor, "B H S D"], Float[Tensor, "B H S D"]]


class CrossCache:
    """Keys and values of the memory for one block's cross-attention, worked out once."""

    def __init__(self) -> None:
        self._kept: KeysValues | None = None

    def get(self, compute: Callable[[], KeysValues]) -> KeysValues:
        if self._kept is None:
            self._kept = compute()
        return self._kept

    def select(self, sources: Int[Tensor, " B"]) -> None:
        if self._kept is not None:
            keys, values = self._kept
            self._kept = keys[sources], values[sources]


class DecoderCache(Cache):
    """A cache of `num_rows` rows of tokens, equally many neighbours for each row of the memory."""

    def __init__(
        self,
        memory: Float[Tensor, "B S C"],
        memory_mask: Bool[Tensor, "B 1 1 S"],
        *,
        num_rows: int,
        block_size: int,
        num_blocks: int,
    ) -> None:
        super().__init__(num_rows, block_size, num_blocks)
        self.memory = memory
        self.memory_mask = memory_mask
        self.cross = [CrossCache() for _ in range(num_blocks)]

    def select(self, rows: Int[Tensor, " R"]) -> None:
        """Keeps these rows in this order: whole groups of neighbours, each of one source."""
        num_beams = len(self.lengths) // len(self.memory)
        super().select(rows)
        if len(rows) == num_beams * len(self.memory):
            return  # reordered within their groups
        sources = rows[::num_beams] // num_beams
        self.memory, self.memory_mask = self.memory[sources], self.memory_mask[sources]
        for block in self.cross:
            block.select(sources)
