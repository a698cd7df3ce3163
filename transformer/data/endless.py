"""Batches without end for training, and equally many batches on each rank for validation."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from itertools import count, islice

import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from transformer.data.order import EndlessOrder
from transformer.special_ids import IGNORED


class EndlessBatches(IterableDataset, ABC):
    """Whole training batches in the endless order, the same for any number of workers.

    A global batch is what all ranks together take; each rank has its slice of it. Where
    `batches_per_pass` is given, an iteration ends after as many batches and the next one goes on
    where it ended; the first one ends `batches_given` earlier, which a run before had of it.
    """

    def __init__(
        self,
        order: EndlessOrder,
        *,
        batch_size: int,
        first_example: int = 0,
        rank: int = 0,
        world_size: int = 1,
        batches_per_pass: int | None = None,
    ) -> None:
        self.order = order
        self.batch_size = batch_size
        self.first_example = first_example
        self.rank = rank
        self.world_size = world_size
        self.global_batch = batch_size * world_size
        self.batches_per_pass = batches_per_pass
        self.batches_given = 0
        self._passes = 0

    @abstractmethod
    def batch(self, number: int) -> tuple[Tensor, ...]:
        """This rank's batch `number`, counted from 0 over all passes: no state has a part in it."""

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        worker = get_worker_info()
        offset, step = (worker.id, worker.num_workers) if worker else (0, 1)
        first, end = 0, None
        if self.batches_per_pass is not None:
            first = max(0, self._passes * self.batches_per_pass - self.batches_given)
            end = (self._passes + 1) * self.batches_per_pass - self.batches_given - first
        self._passes += 1
        for number in islice(count(), offset, end, step):
            yield self.batch(first + number)


class OnePass(Dataset):
    """The first batches of an endless sequence, the same at every pass."""

    def __init__(self, batch: Callable[[int], tuple[Tensor, ...]], num_batches: int) -> None:
        self.batch = batch
        self.num_batches = num_batches

    def __len__(self) -> int:
        return self.num_batches

    def __getitem__(self, number: int) -> tuple[Tensor, ...]:
        if not 0 <= number < len(self):
            raise IndexError(number)
        return self.batch(number)


class EvenBatches(Dataset):
    """A rank's validation batches, made as many as the others' by some with nothing to be scored.

    Where weights are sharded, every pass of one rank waits for those of the others.
    """

    def __init__(self, own: Dataset, num_batches: int) -> None:
        self.own = own
        self.num_batches = num_batches

    def __len__(self) -> int:
        return self.num_batches

    def __getitem__(self, number: int) -> tuple[Tensor, ...]:
        if not 0 <= number < len(self):
            raise IndexError(number)
        if number < len(self.own):  # type: ignore[arg-type]  # Dataset has no __len__ of its own
            return self.own[number]
        *inputs, targets = self.own[0]
        return *inputs, torch.full_like(targets, IGNORED)
