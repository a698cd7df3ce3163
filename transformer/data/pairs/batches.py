"""Batches of pairs of about equal length, each padded to its longest on the right."""

from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad
from torch.utils.data import Dataset

from transformer.data.endless import EndlessBatches
from transformer.data.order import EndlessOrder
from transformer.special_ids import BEGIN, END, IGNORED, PADDING

PairBatch = tuple[Int[Tensor, "B S"], Int[Tensor, "B T"], Int[Tensor, "B T"]]

# Global batches whose pairs are sorted by length together: the more, the less padding.
POOL_BATCHES = 64


class Ragged:
    """Rows of different lengths, end to end in one tensor."""

    def __init__(self, rows: Iterable[NDArray[np.int32]]) -> None:
        rows = list(rows)
        self.lengths = torch.tensor([len(row) for row in rows])
        self.starts = self.lengths.cumsum(0) - self.lengths
        self.values = torch.from_numpy(np.concatenate(rows))

    def __len__(self) -> int:
        return len(self.lengths)

    def padded(self, rows: Int[Tensor, " B"], fill: int) -> Int[Tensor, "B L"]:
        """These rows in one gather, with `fill` on the right up to the longest of them."""
        columns = torch.arange(int(self.lengths[rows].max()))
        outside = columns >= self.lengths[rows][:, None]
        places = (self.starts[rows][:, None] + columns).masked_fill(outside, 0)
        return self.values[places].long().masked_fill(outside, fill)


class RaggedPairs:
    """The ids of sources and targets, row by row, without BEGIN and END."""

    def __init__(self, sources: Ragged, targets: Ragged) -> None:
        if len(sources) != len(targets):
            raise ValueError(f"got {len(sources)} sources and {len(targets)} targets")
        self.sources = sources
        self.targets = targets

    def __len__(self) -> int:
        return len(self.sources)

    @property
    def num_tokens(self) -> Int[Tensor, " N"]:
        """Of each pair: its source, its target and one END."""
        return self.sources.lengths + self.targets.lengths + 1

    def batch(self, rows: Int[Tensor, " B"]) -> PairBatch:
        """Source; BEGIN and the target; the target and END, which is the former moved by one."""
        source = self.sources.padded(rows, PADDING)
        tokens = pad(self.targets.padded(rows, PADDING), (1, 0), value=BEGIN)
        targets = pad(self.targets.padded(rows, IGNORED), (0, 1), value=IGNORED)
        targets[torch.arange(len(rows)), self.targets.lengths[rows]] = END
        return source, tokens, targets

    def by_length(self, rows: Int[Tensor, " B"]) -> Int[Tensor, " B"]:
        """The shortest source first; among equal ones targets grow and shrink in turns.

        So neighbors are alike in both, also where the source becomes longer.
        """
        sources, targets = self.sources.lengths[rows].numpy(), self.targets.lengths[rows].numpy()
        targets = np.where(sources % 2, -targets, targets)
        return rows[torch.from_numpy(np.lexsort([targets, sources]))]


def batches_per_epoch(num_pairs: int, global_batch: int) -> int:
    """Whole batches that the pairs fill, one at least."""
    return max(1, num_pairs // global_batch)


class PairBatches(EndlessBatches):
    """Training batches of pairs of about equal length; batch n is a pure function of seed and n.

    An epoch is as many whole batches as the pairs fill: no pair is in it twice, and the few that
    are left over are others in each epoch. It is cut into pools of at most POOL_BATCHES batches:
    the next pairs of the endless order, sorted by length, cut into batches, and these shuffled.
    Fewer pairs than a batch holds still fill every batch. A run that goes on after `first_example`
    pairs goes on with the batch that the next one would stand in.
    """

    def __init__(
        self,
        pairs: RaggedPairs,
        order: EndlessOrder,
        *,
        seed: int,
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
        self.pairs = pairs
        self.seed = seed
        self.batches_per_epoch = batches_per_epoch(order.size, self.global_batch)
        num_pools = -(-self.batches_per_epoch // POOL_BATCHES)
        self.pool_batches = -(-self.batches_per_epoch // num_pools)  # so that none is much smaller
        self._pool = (-1, -1), torch.empty(0)  # the one last worked out, by epoch and number

    def batch(self, number: int) -> PairBatch:
        return self.pairs.batch(self.rows(self.first_example // self.global_batch + number))

    def rows(self, number: int) -> Int[Tensor, " B"]:
        """The pairs of this rank's batch `number`, counted from the start of the first epoch."""
        epoch, number = divmod(number, self.batches_per_epoch)
        pool, place = divmod(number, self.pool_batches)
        if self._pool[0] != (epoch, pool):
            self._pool = (epoch, pool), self._sorted_pool(epoch, pool)
        return self._pool[1][place, self.rank :: self.world_size]

    def num_positions(self) -> Int[Tensor, " A"]:
        """Of source and tokens, padding included, in each batch of the first epoch."""
        lengths = []
        for number in range(self.batches_per_epoch):
            rows = self.rows(number)
            sources, targets = self.pairs.sources.lengths[rows], self.pairs.targets.lengths[rows]
            lengths.append(len(rows) * int(sources.max() + targets.max() + 1))
        return torch.tensor(lengths)

    def padding_fraction(self) -> float:
        """Padding among all positions, over the batches of the first epoch."""
        rows = torch.cat([self.rows(number) for number in range(self.batches_per_epoch)])
        num_filled = int(self.pairs.num_tokens[rows].sum())
        return 1 - num_filled / int(self.num_positions().sum())

    def _sorted_pool(self, epoch: int, pool: int) -> Int[Tensor, "P G"]:
        """The global batches of a pool."""
        first = pool * self.pool_batches
        num_batches = min(self.pool_batches, self.batches_per_epoch - first)
        entries_per_epoch = max(self.order.size, self.global_batch)
        rows = self.order.positions(
            epoch * entries_per_epoch + first * self.global_batch, num_batches * self.global_batch
        )
        batches = self.pairs.by_length(torch.from_numpy(rows)).view(num_batches, -1)
        generator = np.random.Generator(np.random.PCG64([self.seed, epoch, pool]))
        return batches[torch.from_numpy(generator.permutation(num_batches))]


class SortedPairBatches(Dataset):
    """Validation batches: each of these pairs once, the shortest first.

    A batch has as many pairs as fit into `tokens` positions with their padding, and one at least,
    so that memory stays small.
    """

    def __init__(self, pairs: RaggedPairs, rows: Int[Tensor, " M"], tokens: int = 8192) -> None:
        self.pairs = pairs
        self._batches: list[Tensor] = []
        rows = pairs.by_length(rows)
        while len(rows):
            targets = pairs.targets.lengths[rows].cummax(0).values
            longest = pairs.sources.lengths[rows] + targets + 1
            positions = longest * torch.arange(1, len(rows) + 1)  # in a batch that ends there
            size = max(1, int((positions <= tokens).sum()))
            self._batches.append(rows[:size])
            rows = rows[size:]

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, number: int) -> PairBatch:
        if not 0 <= number < len(self):
            raise IndexError(number)
        return self.pairs.batch(self._batches[number])
