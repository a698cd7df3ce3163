"""Endless training batches, and datasets with a fixed number of batches."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count, islice

import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from transformer.data.order import Order
from transformer.special_ids import IGNORED


@dataclass(frozen=True, kw_only=True)
class Share:
    """The part of the endless order that one rank reads, starting at entry `first_example`."""

    batch_size: int  # of one rank
    first_example: int = 0
    rank: int = 0
    world_size: int = 1
    batches_per_pass: int | None = None  # None: a pass never ends

    @property
    def global_batch(self) -> int:
        return self.batch_size * self.world_size


class EndlessBatches(IterableDataset, ABC):
    """Whole training batches in the endless order, the same for any number of workers.

    Each rank reads its own part of a global batch. With `batches_per_pass`, an iteration ends after
    this number of batches, and the next iteration continues from there. The first iteration is
    shorter by `batches_given`: the batches that an earlier run has read from the same pass.
    """

    on_gpu = False  # whether the batches are on the GPU

    def __init__(self, order: Order, share: Share) -> None:
        self.order = order
        self.share = share
        self.batches_given = 0
        self._passes = 0

    @abstractmethod
    def batch(self, number: int) -> tuple[Tensor, ...]:
        """This rank's batch `number`, counted from 0 over all passes; depends on no state."""

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        worker = get_worker_info()
        offset, step = (worker.id, worker.num_workers) if worker else (0, 1)
        first, end = 0, None
        if (per_pass := self.share.batches_per_pass) is not None:
            first = max(0, self._passes * per_pass - self.batches_given)
            end = (self._passes + 1) * per_pass - self.batches_given - first
        self._passes += 1
        for number in islice(count(), offset, end, step):
            yield self.batch(first + number)


class CountedBatches(Dataset, ABC):
    """A fixed number of batches. An index outside this number raises IndexError."""

    def __init__(self, num_batches: int) -> None:
        self.num_batches = num_batches

    def __len__(self) -> int:
        return self.num_batches

    def __getitem__(self, number: int) -> tuple[Tensor, ...]:
        if not 0 <= number < self.num_batches:
            raise IndexError(number)
        return self.batch(number)

    @abstractmethod
    def batch(self, number: int) -> tuple[Tensor, ...]: ...


class OnePass(CountedBatches):
    """The first batches of an endless sequence, the same in every pass."""

    def __init__(self, endless: Callable[[int], tuple[Tensor, ...]], num_batches: int) -> None:
        super().__init__(num_batches)
        self.endless = endless

    def batch(self, number: int) -> tuple[Tensor, ...]:
        return self.endless(number)


class EvenBatches(CountedBatches):
    """The validation batches of one rank, filled up so that every rank has equally many.

    The loss ignores all targets of an added batch. With sharded weights, a rank cannot run a batch
    unless all other ranks run one too.
    """

    def __init__(self, own: CountedBatches, num_batches: int) -> None:
        super().__init__(num_batches)
        self.own = own

    def batch(self, number: int) -> tuple[Tensor, ...]:
        if number < len(self.own):
            return self.own[number]
        *inputs, targets = self.own[0]
        return *inputs, torch.full_like(targets, IGNORED)
