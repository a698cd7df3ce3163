"""Batches of chunks for training and of windows for validation, gathered in one indexing each."""

from collections.abc import Iterator
from itertools import count

import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from transformer.data.chunks import ChunkOrder

IGNORED = -100  # the target that F.cross_entropy leaves out

Batch = tuple[Int[Tensor, "B T"], Int[Tensor, "B T"]]


def chunk_batch(tokens: Int[Tensor, " N"], starts: Int[Tensor, " B"], block_size: int) -> Batch:
    """Inputs and targets (the inputs moved by one) of the chunks at `starts`, in one gather."""
    chunks = tokens[starts[:, None] + torch.arange(block_size + 1)].long()
    return chunks[:, :-1].contiguous(), chunks[:, 1:].contiguous()


# Positions are worked out for many batches at a time, which costs little more than for one.
MOST_BATCHES_AHEAD = 64
MOST_CHUNKS_AHEAD = 2**16


class ChunkBatches(IterableDataset):
    """Whole training batches in the endless order, the same for any number of workers.

    Each rank takes its slice of every global batch. Where `batches_per_pass` is given, an
    iteration ends after as many batches and the next one goes on where it ended.
    """

    def __init__(
        self,
        tokens: Int[Tensor, " N"],
        order: ChunkOrder,
        *,
        block_size: int,
        stride: int,
        batch_size: int,
        first_chunk: int = 0,
        rank: int = 0,
        world_size: int = 1,
        batches_per_pass: int | None = None,
    ) -> None:
        self.tokens = tokens
        self.order = order
        self.block_size = block_size
        self.stride = stride
        self.batch_size = batch_size
        self.first_chunk = first_chunk
        self.rank = rank
        self.world_size = world_size
        self.batches_per_pass = batches_per_pass
        self.batches_ahead = max(1, min(MOST_BATCHES_AHEAD, MOST_CHUNKS_AHEAD // batch_size))
        self._passes = 0

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        offset, step = (worker.id, worker.num_workers) if worker else (0, 1)
        numbers = count() if self.batches_per_pass is None else range(self.batches_per_pass)
        first = self._passes * (self.batches_per_pass or 0)
        self._passes += 1
        starts = self._starts(first)
        for number in numbers:
            if number and number % self.batches_ahead == 0:
                starts = self._starts(first + number)
            if number % step == offset:
                yield chunk_batch(self.tokens, starts[number % self.batches_ahead], self.block_size)

    def _starts(self, batch_number: int) -> Int[Tensor, "A B"]:
        """Where the chunks of the next batches_ahead batches of this rank start."""
        global_batch = self.batch_size * self.world_size
        chunks = self.order.positions(
            self.first_chunk + batch_number * global_batch, self.batches_ahead * global_batch
        )
        starts = torch.from_numpy(chunks * self.stride).view(self.batches_ahead, global_batch)
        return starts[:, self.rank * self.batch_size :][:, : self.batch_size]


class WindowBatches(Dataset):
    """Validation batches: windows of block_size, end to end, each with a fresh context.

    Over all windows each token but the first is a target once. The last window is padded to
    block_size with targets that the loss ignores.
    """

    def __init__(
        self,
        tokens: Int[Tensor, " N"],
        windows: Int[Tensor, " M"],
        block_size: int,
        batch_size: int,
    ) -> None:
        self.tokens = tokens
        self.windows = windows
        self.block_size = block_size
        self.batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self.windows) // self.batch_size)

    def __getitem__(self, number: int) -> Batch:
        if not 0 <= number < len(self):
            raise IndexError(number)
        windows = self.windows[number * self.batch_size : (number + 1) * self.batch_size]
        positions = windows[:, None] * self.block_size + torch.arange(self.block_size + 1)
        inside = positions < len(self.tokens)
        chunks = self.tokens[positions.clamp(max=len(self.tokens) - 1)].long()
        targets = chunks[:, 1:].masked_fill(~inside[:, 1:], IGNORED)
        return chunks[:, :-1].contiguous(), targets


def validation_batch_size(block_size: int, tokens: int = 8192) -> int:
    """Windows in a validation batch: about `tokens` tokens, so that memory stays small."""
    return max(1, tokens // block_size)
