"""Key-value caches: a model keeps the keys and values of each token instead of recomputing them."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

Positions = slice | Int[Tensor, "*B T"]
KeysValues = tuple[Float[Tensor, "B G S D"], Float[Tensor, "B G S D"]]

LEAST_ROOM = 16  # positions that a new cache has room for, if block_size is not less


class Window:
    """Where the new tokens are in a model's cache: its blocks store their keys and values there.

    `positions` are the new tokens' positions in the sequence, `places` where their keys and values
    are stored. `stop` is the end of the places in use; memory is allocated for `least_places` at
    first and `most_places` at most. `has_gaps` says that places before `stop` may be unset.
    """

    positions: Positions = slice(0, 0)
    places: Positions = slice(0, 0)
    stop = 0
    least_places = LEAST_ROOM
    most_places: int
    has_gaps = False


class KeptRows:
    """Keys and values of one block's attention, None before the first use."""

    kept: KeysValues | None = None

    def move(
        self, sources: Int[Tensor, " _"], places: Int[Tensor, " _"], num_rows: int, stop: int | None
    ) -> None:
        """Copies rows `sources` to rows `places`, up to `stop`, and keeps the first num_rows."""
        if self.kept is None:
            return
        for kept in self.kept:
            used = kept[:, :, :stop]
            used.index_copy_(0, places, used.index_select(0, sources))
        keys, values = self.kept
        self.kept = keys[:num_rows], values[:num_rows]


class BlockCache(KeptRows):
    """Of self-attention; the memory grows up to most_places."""

    def __init__(self, cache: Window) -> None:
        self._cache = cache

    @property
    def positions(self) -> Positions:
        return self._cache.positions

    def append(self, key: Float[Tensor, "B G T D"], value: Float[Tensor, "B G T D"]) -> KeysValues:
        """Stores keys and values at the new places; returns those of all places up to `stop`."""
        stop, places = self._cache.stop, self._cache.places
        keys, values = self._with_room(stop, key)
        if isinstance(places, slice):
            start, num_new = places.start, key.shape[2]
            keys.narrow(2, start, num_new).copy_(key)
            values.narrow(2, start, num_new).copy_(value)
        else:
            rows = torch.arange(len(key), device=key.device)[:, None]
            keys[rows, :, places] = key.transpose(1, 2).to(keys.dtype)
            values[rows, :, places] = value.transpose(1, 2).to(keys.dtype)
        return keys[:, :, :stop], values[:, :, :stop]

    def put(self, rows: list[int], other: "BlockCache") -> None:
        """Replaces these rows by the rows of another cache."""
        if self.kept is None or other.kept is None:
            return
        room = other.kept[0].shape[2]
        for ours, theirs in zip(self._with_room(room, self.kept[0]), other.kept, strict=True):
            ours[rows, :, :room] = theirs

    def _with_room(self, num_positions: int, like: Float[Tensor, "B G T D"]) -> KeysValues:
        """Allocates at least twice the room if there is too little, so that copies are rare."""
        before = 0 if self.kept is None else self.kept[0].shape[2]
        if self.kept is not None and num_positions <= before:
            return self.kept
        cache, dtype = self._cache, like.dtype
        if like.device.type == "cpu" and dtype == torch.bfloat16:
            dtype = torch.float32  # a CPU reads it several times faster (measured: torch 2.13)
        room = min(cache.most_places, max(num_positions, 2 * before, cache.least_places))
        # Attention reads unset places with weight 0, and 0 x NaN would be NaN.
        make = like.new_zeros if cache.has_gaps else like.new_empty
        shape = (*like.shape[:2], room, like.shape[3])
        wider = make(shape, dtype=dtype), make(shape, dtype=dtype)
        if self.kept is not None:
            for new, old in zip(wider, self.kept, strict=True):
                new[:, :, :before] = old
        self.kept = wider
        return wider


class Cache(Window):
    """The cache of up to `block_size` tokens for each of `num_rows` rows.

    `lengths` says how many tokens of each row count. A caller that has read right-padded rows sets
    it to their real lengths; the padding is overwritten before any token reads it.
    """

    has_gaps = True  # if rows differ in length

    def __init__(self, num_rows: int, block_size: int, num_blocks: int) -> None:
        self.block_size = self.most_places = block_size
        self.lengths = [0] * num_rows
        self.blocks = [BlockCache(self) for _ in range(num_blocks)]
        self.tokens = torch.zeros(num_rows, block_size, dtype=torch.long)
        # One function for each block, which reads one token of each row: see gpt_step.
        self.steps: list[Callable[[Tensor, BlockCache], Tensor]] = []

    def extend(
        self, tokens: Int[Tensor, "B T"], num_before: int = 0
    ) -> tuple[Int[Tensor, "B _"], Bool[Tensor, "#B 1 T S"] | None]:
        """Adds new tokens; sets `positions` and `stop`, which the blocks use.

        Returns the tokens and a mask of the positions that each may read; without a mask each reads
        all up to itself. Unless the cache was empty, the `num_before` tokens before them come
        first, with 0 where a row has fewer.

        Raises: ValueError for more than block_size tokens and for another number of rows.
        """
        num_new = tokens.shape[1]
        if len(tokens) != len(self.lengths):
            raise ValueError(f"{len(tokens)} rows for a cache of {len(self.lengths)}")
        start, self.stop = min(self.lengths), max(self.lengths) + num_new
        if self.stop > self.block_size:
            raise ValueError(f"{self.stop} tokens, but block_size={self.block_size}")
        self.tokens = self.tokens.to(tokens.device)
        even = start + num_new == self.stop
        if even:
            self.positions, mask = slice(start, self.stop), None
            self.tokens[:, self.positions] = tokens
            if start and num_new > 1:
                mask = self._up_to(torch.arange(start, self.stop, device=tokens.device)[None])
        else:
            starts = torch.tensor(self.lengths, device=tokens.device)[:, None]
            self.positions = starts + torch.arange(num_new, device=tokens.device)
            self.tokens.scatter_(1, self.positions, tokens)
            mask = self._up_to(self.positions)
        self.places = self.positions
        if num_before and self.stop > num_new:
            tokens = self._with_tokens_before(tokens, num_before)
        self.lengths = [length + num_new for length in self.lengths]
        return tokens, mask

    def clear(self) -> None:
        self.lengths = [0] * len(self.lengths)

    def put(self, rows: list[int], other: "Cache") -> None:
        """Replaces these rows by the rows of another cache of the same model."""
        self.tokens[rows] = other.tokens
        for row, length in zip(rows, other.lengths, strict=True):
            self.lengths[row] = length
        for ours, theirs in zip(self.blocks, other.blocks, strict=True):
            ours.put(rows, theirs)

    def select(self, rows: Int[Tensor, " _"]) -> None:
        """Keeps the rows with these indices, in this order; an index may repeat.

        This works in place, so there may not be more indices than rows.
        """
        moved = (rows != torch.arange(len(rows), device=rows.device)).nonzero().squeeze(1)
        for block in self.blocks:
            block.move(rows[moved], moved, len(rows), max(self.lengths))
        self.tokens = self.tokens.to(rows.device)[rows]
        self.lengths = [self.lengths[row] for row in rows.tolist()]

    def _up_to(self, positions: Int[Tensor, "#B T"]) -> Bool[Tensor, "#B 1 T S"]:
        return (torch.arange(self.stop, device=positions.device) <= positions[..., None])[:, None]

    def _with_tokens_before(self, tokens: Tensor, num_before: int) -> Tensor:
        if isinstance(self.positions, slice):
            start = self.positions.start
            before = self.tokens[:, max(0, start - num_before) : start]
            before = F.pad(before, (num_before - before.shape[1], 0))
        else:
            places = self.positions[:, :1] + torch.arange(-num_before, 0, device=tokens.device)
            before = self.tokens.gather(1, places.clamp(min=0)).masked_fill(places < 0, 0)
        return torch.cat((before, tokens), dim=1)
