"""Batches of pairs of similar length, padded on the right to the longest pair of the batch."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from transformer.data.endless import CountedBatches, EndlessBatches, Share
from transformer.data.order import EndlessOrder
from transformer.special_ids import BEGIN, END, IGNORED, PADDING

PairBatch = tuple[Int[Tensor, "B S"], Int[Tensor, "B T"], Int[Tensor, "B T"]]

# Global batches whose pairs are sorted by length together. More batches need less padding.
POOL_BATCHES = 64


class Ragged:
    """Rows of different lengths, stored one after the other in one tensor."""

    def __init__(self, rows: Iterable[NDArray[np.int32]]) -> None:
        rows = list(rows)
        self.lengths = torch.tensor([len(row) for row in rows])
        self.starts = self.lengths.cumsum(0) - self.lengths
        self.values = torch.from_numpy(np.concatenate(rows))

    def __len__(self) -> int:
        return len(self.lengths)

    def padded(self, rows: Int[Tensor, " B"], fill: int) -> Int[Tensor, "B L"]:
        """These rows, padded on the right with `fill` to the length of the longest one."""
        columns = torch.arange(int(self.lengths[rows].max()))
        outside = columns >= self.lengths[rows][:, None]
        places = (self.starts[rows][:, None] + columns).masked_fill(outside, 0)
        return self.values[places].long().masked_fill(outside, fill)


@dataclass(frozen=True)
class RaggedPairs:
    """The ids of sources and targets, row by row, without BEGIN and END."""

    sources: Ragged
    targets: Ragged

    def __len__(self) -> int:
        return len(self.sources)

    @property
    def num_tokens(self) -> Int[Tensor, " N"]:
        return self.sources.lengths + self.targets.lengths + 1

    def batch(self, rows: Int[Tensor, " B"]) -> PairBatch:
        """Source, BEGIN + target, target + END. The third is the second shifted left by one."""
        source = self.sources.padded(rows, PADDING)
        tokens = pad(self.targets.padded(rows, PADDING), (1, 0), value=BEGIN)
        targets = pad(self.targets.padded(rows, IGNORED), (0, 1), value=IGNORED)
        targets[torch.arange(len(rows)), self.targets.lengths[rows]] = END
        return source, tokens, targets

    def by_length(self, rows: Int[Tensor, " B"]) -> Int[Tensor, " B"]:
        """`rows` sorted by source length, then by target length.

        For even source lengths the targets become longer, for odd ones shorter. So neighbors have
        similar targets also at the place where the source length changes.
        """
        sources, targets = self.sources.lengths[rows].numpy(), self.targets.lengths[rows].numpy()
        targets = np.where(sources % 2, -targets, targets)
        return rows[torch.from_numpy(np.lexsort([targets, sources]))]


def batches_per_epoch(num_pairs: int, global_batch: int) -> int:
    return max(1, num_pairs // global_batch)


class PairBatches(EndlessBatches):
    """Training batches of pairs of similar length; batch n depends only on the seed and on n.

    An epoch has as many whole batches as the pairs fill. No pair is in it twice, and each epoch
    leaves out a different few pairs. An epoch consists of pools of at most POOL_BATCHES batches.
    A pool takes the next pairs of the endless order, sorts them by length, cuts them into batches
    and shuffles the batches. If there are fewer pairs than a batch holds, a batch repeats pairs.
    A resumed run starts with the batch number `first_example // global_batch`.
    """

    def __init__(self, pairs: RaggedPairs, order: EndlessOrder, share: Share, *, seed: int) -> None:
        super().__init__(order, share)
        self.pairs = pairs
        self.seed = seed
        self.batches_per_epoch = batches_per_epoch(order.size, share.global_batch)
        num_pools = -(-self.batches_per_epoch // POOL_BATCHES)
        self.pool_batches = -(-self.batches_per_epoch // num_pools)  # pools of similar size
        self._pool = (-1, -1), torch.empty(0)  # epoch and number of a pool, and its rows

    def batch(self, number: int) -> PairBatch:
        before = self.share.first_example // self.share.global_batch
        return self.pairs.batch(self.rows(before + number))

    def rows(self, number: int) -> Int[Tensor, " B"]:
        """The pairs of this rank's batch `number`, counted from the start of the first epoch."""
        epoch, number = divmod(number, self.batches_per_epoch)
        pool, place = divmod(number, self.pool_batches)
        if self._pool[0] != (epoch, pool):
            self._pool = (epoch, pool), self._sorted_pool(epoch, pool)
        return self._pool[1][place, self.share.rank :: self.share.world_size]

    def num_positions(self) -> Int[Tensor, " A"]:
        """Positions of sources and targets with padding, for each batch of the first epoch."""
        rows = self._first_epoch()
        sources, targets = self.pairs.sources.lengths[rows], self.pairs.targets.lengths[rows]
        return rows.shape[1] * (sources.amax(dim=1) + targets.amax(dim=1) + 1)

    def padding_fraction(self) -> float:
        """The fraction of padding in the positions of the first epoch's batches."""
        num_filled = int(self.pairs.num_tokens[self._first_epoch()].sum())
        return 1 - num_filled / int(self.num_positions().sum())

    def _first_epoch(self) -> Int[Tensor, "A B"]:
        return torch.stack([self.rows(number) for number in range(self.batches_per_epoch)])

    def _sorted_pool(self, epoch: int, pool: int) -> Int[Tensor, "P G"]:
        """The pairs of a pool, one row for each global batch."""
        first, size = pool * self.pool_batches, self.share.global_batch
        num_batches = min(self.pool_batches, self.batches_per_epoch - first)
        entries_per_epoch = max(self.order.size, size)
        rows = self.order.positions(epoch * entries_per_epoch + first * size, num_batches * size)
        batches = self.pairs.by_length(torch.from_numpy(rows)).view(num_batches, -1)
        generator = np.random.Generator(np.random.PCG64([self.seed, epoch, pool]))
        return batches[torch.from_numpy(generator.permutation(num_batches))]


class SortedPairBatches(CountedBatches):
    """Validation batches that hold each of the given pairs once, the shortest source first.

    To save memory, a batch has at most `tokens` positions, padding included, but at least one pair.
    """

    def __init__(self, pairs: RaggedPairs, rows: Int[Tensor, " M"], tokens: int = 8192) -> None:
        self.pairs = pairs
        self._batches: list[Tensor] = []
        rows = pairs.by_length(rows)
        while len(rows):
            targets = pairs.targets.lengths[rows].cummax(0).values
            longest = pairs.sources.lengths[rows] + targets + 1
            positions = longest * torch.arange(1, len(rows) + 1)  # of a batch that ends at each row
            size = max(1, int((positions <= tokens).sum()))
            self._batches.append(rows[:size])
            rows = rows[size:]
        super().__init__(len(self._batches))

    def batch(self, number: int) -> PairBatch:
        return self.pairs.batch(self._batches[number])
