from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from transformer.models.parts.cache import LEAST_ROOM, BlockCache, KeptRows, KeysValues, Window


class CrossCache(KeptRows):
    """Of the memory, for cross-attention; computed once."""

    def get(self, compute: Callable[[], KeysValues]) -> KeysValues:
        if self.kept is None:
            keys, values = compute()
            self.kept = keys.contiguous(), values.contiguous()
        return self.kept


class DecoderCache(Window):
    """The tokens of K beams for each of B sources: K B rows, kept as one tree for each source.

    The beams of a source share one row of places, and each reads the places in its `ancestors`.
    When beams change their order or continue the same beam, only `ancestors` changes and no key or
    value moves. When a source is finished, another one takes its row.
    """

    def __init__(
        self,
        memory: Float[Tensor, "B S C"],
        memory_mask: Bool[Tensor, "B 1 1 S"],
        *,
        num_rows: int,
        block_size: int,
        num_blocks: int,
    ) -> None:
        num_sources = len(memory)
        self.memory = memory
        self.memory_mask = memory_mask
        self.num_beams = num_rows // num_sources
        self.block_size = block_size
        self.least_places = LEAST_ROOM * self.num_beams
        self.most_places = block_size * self.num_beams
        self.blocks = [BlockCache(self) for _ in range(num_blocks)]
        self.cross = [CrossCache() for _ in range(num_blocks)]
        self.tokens = torch.empty(num_rows, 0, dtype=torch.long, device=memory.device)
        self.ancestors = torch.empty(
            num_sources, self.num_beams, 0, dtype=torch.bool, device=memory.device
        )

    def extend(
        self, tokens: Int[Tensor, "R T"], num_before: int = 0
    ) -> tuple[Int[Tensor, "_ _"], Bool[Tensor, "B 1 _ P"] | None]:
        """Adds new tokens; sets `positions` and `places`, which the blocks use.

        Returns the tokens to read, after up to `num_before` earlier ones, and a mask of the places
        that each may read; without a mask each reads all up to itself. If the cache is empty and
        the beams of each source start alike, they are read only once: B rows in place of K B.

        Raises: ValueError for more than block_size tokens and for another number of rows.
        """
        length, num_new = self.tokens.shape[1], tokens.shape[1]
        if len(tokens) != len(self.tokens):
            raise ValueError(f"{len(tokens)} rows for a cache of {len(self.tokens)}")
        if length + num_new > self.block_size:
            raise ValueError(f"{length + num_new} tokens, but block_size={self.block_size}")
        by_source = tokens.unflatten(0, (-1, self.num_beams))
        alike = not length and bool((by_source == by_source[:, :1]).all())
        num_read = 1 if alike else self.num_beams
        new_places = num_read * num_new
        self.tokens = torch.cat((self.tokens, tokens), dim=1)
        start, self.stop = self.stop, self.stop + new_places
        self.places = slice(start, self.stop)
        numbers = torch.arange(new_places, device=tokens.device)
        self.positions = length + numbers % num_new
        own = numbers // num_new == torch.arange(self.num_beams, device=tokens.device)[:, None]
        everywhere = (own | alike).expand(len(self.ancestors), -1, -1)
        self.ancestors = torch.cat((self.ancestors, everywhere), dim=2)
        read = self.tokens[:: self.num_beams // num_read, -num_new - num_before :]
        if alike or new_places == 1:
            return read, None
        mask = self.ancestors.repeat_interleave(num_new, dim=1)
        mask[:, :, self.places] &= self.positions[:, None] >= self.positions
        return read, mask[:, None]

    def select(self, rows: Int[Tensor, " R"]) -> None:
        """Keeps the rows with these indices, in this order; an index may repeat.

        Each K neighboring indices are beams of one source. There may not be more indices than rows.
        """
        sources = rows[:: self.num_beams] // self.num_beams
        self.tokens = self.tokens[rows]
        ancestors = self.ancestors.flatten(0, 1)[rows]
        self.ancestors = ancestors.unflatten(0, (len(sources), self.num_beams))
        numbers = torch.arange(len(sources), device=rows.device)
        moved = (sources != numbers).nonzero().squeeze(1)
        if len(sources) == len(self.memory) and not len(moved):
            return  # only the order within sources changes
        self.memory, self.memory_mask = self.memory[sources], self.memory_mask[sources]
        for block in self.blocks:
            block.move(sources[moved], moved, len(sources), self.stop)
        for kept in self.cross:
            kept.move(sources[moved], moved, len(sources), None)
