"""Batches of chunks for training and of windows for validation, each read in one indexing."""

import torch
from jaxtyping import Int, Integer
from torch import Tensor

from transformer.data.endless import CountedBatches, EndlessBatches, Share
from transformer.data.order import Order
from transformer.special_ids import IGNORED

Batch = tuple[Int[Tensor, "B T"], Int[Tensor, "B T"]]


def chunk_batch(tokens: Integer[Tensor, " N"], starts: Int[Tensor, " B"], block_size: int) -> Batch:
    """Inputs and targets of the chunks at `starts`; target t is the input at t + 1."""
    places = starts[:, None] + torch.arange(block_size + 1, device=starts.device)
    chunks = tokens[places].long()
    return chunks[:, :-1].contiguous(), chunks[:, 1:].contiguous()


# Positions are computed for many batches at once: that takes hardly longer than for one batch.
MOST_BATCHES_AHEAD = 64
MOST_CHUNKS_AHEAD = 2**16
MOST_LOGITS = 2**24  # 64 MiB in float32
# In a batch that is only scored. On a CPU, the tensors of a larger one leave the caches, and above
# 32 MiB the C library gets the memory for each from the system anew.
SCORED_ON_CPU, SCORED_ELSEWHERE = 1024, 8192


class ChunkBatches(EndlessBatches):
    """Training batches of chunks; a chunk starts every `stride` tokens."""

    def __init__(
        self,
        tokens: Integer[Tensor, " N"],
        order: Order,
        share: Share,
        *,
        block_size: int,
        stride: int,
    ) -> None:
        super().__init__(order, share)
        self.tokens = tokens
        self.on_gpu = tokens.is_cuda
        self.block_size = block_size
        self.stride = stride
        self.batches_ahead = max(1, min(MOST_BATCHES_AHEAD, MOST_CHUNKS_AHEAD // share.batch_size))
        self._ahead = -1, torch.empty(0)  # number of the last computed group of batches, its starts

    def batch(self, number: int) -> Batch:
        ahead, place = divmod(number, self.batches_ahead)
        if self._ahead[0] != ahead:
            self._ahead = ahead, self._starts(ahead * self.batches_ahead)
        return chunk_batch(self.tokens, self._ahead[1][place], self.block_size)

    def _starts(self, batch_number: int) -> Int[Tensor, "A B"]:
        """Start positions of the chunks in this rank's next `batches_ahead` batches."""
        share, size = self.share, self.share.global_batch
        chunks = self.order.positions(
            share.first_example + batch_number * size, self.batches_ahead * size
        )
        starts = torch.from_numpy(chunks * self.stride).view(self.batches_ahead, size)
        own = starts[:, share.rank * share.batch_size :][:, : share.batch_size]
        if self.on_gpu:  # without waiting for it
            return own.pin_memory().to(self.tokens.device, non_blocking=True)
        return own


class WindowBatches(CountedBatches):
    """Validation batches of windows: adjacent pieces of block_size tokens without earlier context.

    Over all windows, each token except the first is a target once. The last window is padded to
    block_size, and the loss ignores the targets in the padding.
    """

    def __init__(
        self,
        tokens: Integer[Tensor, " N"],
        windows: Int[Tensor, " M"],
        block_size: int,
        batch_size: int,
    ) -> None:
        super().__init__(-(-len(windows) // batch_size))
        self.tokens = tokens
        self.windows = windows
        self.block_size = block_size
        self.batch_size = batch_size

    def batch(self, number: int) -> Batch:
        windows = self.windows[number * self.batch_size : (number + 1) * self.batch_size]
        positions = windows[:, None] * self.block_size + torch.arange(self.block_size + 1)
        inside = positions < len(self.tokens)
        chunks = self.tokens[positions.clamp(max=len(self.tokens) - 1)].long()
        targets = chunks[:, 1:].masked_fill(~inside[:, 1:], IGNORED)
        return chunks[:, :-1].contiguous(), targets


def validation_batch_size(block_size: int, vocab_size: int, device_type: str) -> int:
    """Windows in a batch that is scored: by their tokens, and at most MOST_LOGITS, for memory."""
    tokens = SCORED_ON_CPU if device_type == "cpu" else SCORED_ELSEWHERE
    return max(1, min(tokens, MOST_LOGITS // vocab_size) // block_size)
