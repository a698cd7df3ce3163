"""Batches of chunks for training and of windows for validation, gathered in one indexing each."""

import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.data import Dataset

from transformer.data.endless import EndlessBatches
from transformer.data.order import EndlessOrder
from transformer.special_ids import IGNORED

Batch = tuple[Int[Tensor, "B T"], Int[Tensor, "B T"]]


def chunk_batch(tokens: Int[Tensor, " N"], starts: Int[Tensor, " B"], block_size: int) -> Batch:
    """Inputs and targets (the inputs moved by one) of the chunks at `starts`, in one gather."""
    chunks = tokens[starts[:, None] + torch.arange(block_size + 1)].long()
    return chunks[:, :-1].contiguous(), chunks[:, 1:].contiguous()


# Positions are worked out for many batches at a time, which costs little more than for one.
MOST_BATCHES_AHEAD = 64
MOST_CHUNKS_AHEAD = 2**16


class ChunkBatches(EndlessBatches):
    """Training batches of chunks, which start every `stride` tokens."""

    def __init__(
        self,
        tokens: Int[Tensor, " N"],
        order: EndlessOrder,
        *,
        block_size: int,
        stride: int,
        batch_size: int,
        first_example: int = 0,
        rank: int = 0,
        world_size: int = 1,
        batches_per_pass: int | None = None,
    ) -> None:
        super().__init__(
            order,
            batch_size=batch_size,
            first_example=first_example,
            rank=rank,
            world_size=world_size,
            batches_per_pass=batches_per_pass,
        )
        self.tokens = tokens
        self.block_size = block_size
        self.stride = stride
        self.batches_ahead = max(1, min(MOST_BATCHES_AHEAD, MOST_CHUNKS_AHEAD // batch_size))
        self._ahead = -1, torch.empty(0)  # the starts last worked out, and for which batches

    def batch(self, number: int) -> Batch:
        ahead, place = divmod(number, self.batches_ahead)
        if self._ahead[0] != ahead:
            self._ahead = ahead, self._starts(ahead * self.batches_ahead)
        return chunk_batch(self.tokens, self._ahead[1][place], self.block_size)

    def _starts(self, batch_number: int) -> Int[Tensor, "A B"]:
        """Where the chunks of the next batches_ahead batches of this rank start."""
        chunks = self.order.positions(
            self.first_example + batch_number * self.global_batch,
            self.batches_ahead * self.global_batch,
        )
        starts = torch.from_numpy(chunks * self.stride).view(self.batches_ahead, self.global_batch)
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
