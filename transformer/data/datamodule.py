"""What the LightningDataModules share: one endless order, counted over ranks and resumes."""

import signal
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset

from transformer.data.endless import EvenBatches, OnePass
from transformer.data.tokenizers.base import Tokenizer
from transformer.data.tokenizers.pairs import PairTokenizer

# Validation during training looks at about this many tokens of a larger split.
MOST_VALIDATION_TOKENS = 1_000_000


def _ignore_signals(_: int) -> None:
    """In a worker: Ctrl+C, say, goes to all processes, and the run still needs its next batch.

    A second SIGTERM ends it: torch and Python end workers so that did not end by themselves, and
    wait for them.
    """
    for name in ("SIGINT", "SIGUSR1", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.signal(signal.SIGTERM, signal.SIG_DFL))


class EndlessLoader(DataLoader):
    """Counts its batches. Its dataset does not: Lightning takes that for a number of examples."""

    def __len__(self) -> int:
        """Raises: TypeError for one that never ends, as Python and torch expect it."""
        if (num_batches := self.dataset.batches_per_pass) is None:  # pyright: ignore
            raise TypeError("these batches never end")
        return num_batches


class EndlessDataModule(pl.LightningDataModule, ABC):
    """Training examples in one endless sequence; a checkpoint holds how many were consumed.

    The training loader never ends when `endless`, as a Trainer with max_steps wants it; otherwise
    a pass ends once as many examples were given as there are, so that a Trainer with max_epochs
    counts passes. With a Trainer's overfit_batches each pass has the same batches.
    """

    num_examples: int  # what an epoch trains on once
    num_val_examples: int  # what a validation looks at once
    num_train_tokens: int
    num_val_tokens: int

    def __init__(self, *, batch_size: int, num_workers: int, endless: bool) -> None:
        super().__init__()
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.endless = endless
        self.most_val_tokens = MOST_VALIDATION_TOKENS
        self._first_example = 0
        self._batches_before = 0
        self._has_loader = False  # of this fit

    @property
    @abstractmethod
    def tokenizer(self) -> Tokenizer | PairTokenizer: ...

    @property
    def tokens_per_unit(self) -> Mapping[str, float]:
        """For `val_bits_per_char` and the like: tokens in a `char`, a `byte`; empty for pairs."""
        return {}

    @abstractmethod
    def _train_batches(self, share: dict[str, Any]) -> Any:  # beartype warns of an IterableDataset
        """EndlessBatches; `share` has its arguments but for the order."""

    @abstractmethod
    def _val_batches(self, rank: int, world_size: int) -> Dataset:
        """Every rank takes every world_size-th example; a large split is sampled evenly."""

    @abstractmethod
    def _test_batches(self, rank: int, world_size: int) -> Dataset:
        """The same of a whole split."""

    @property
    def tokenizer_state(self) -> dict[str, Any]:
        return self.tokenizer.state

    @property
    def sizes(self) -> dict[str, int]:
        """What a model must be built for, by the names that it has there."""
        return self.tokenizer.sizes

    @property
    def looked_at_tokens(self) -> int:
        """Of the validation split, in training."""
        return min(self.num_val_tokens, self.most_val_tokens)

    def look_at(self, num_tokens: int) -> None:
        """Has validation look at about so many tokens of its split, from its next loader on."""
        whole = num_tokens >= self.num_val_tokens
        self.most_val_tokens = MOST_VALIDATION_TOKENS if whole else num_tokens

    @property
    def examples_consumed(self) -> int:
        """Examples trained on since the first step, over all ranks and resumes."""
        batches = self._batches_run() - self._batches_before
        return self._first_example + batches * self.batch_size * self._world_size

    def setup(self, stage: str) -> None:
        """Leaves out what Lightning warns of in loaders, and what is no matter of these.

        A batch is one indexing, which needs no workers; each worker has batches of its own; and a
        run that is resumed within an epoch goes on there.
        """
        self._has_loader = False
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message="Your `IterableDataset` has `__len__` defined")
        warnings.filterwarnings("ignore", message="You're resuming from a checkpoint that ended")

    def train_dataloader(self) -> DataLoader:
        if self._has_loader:  # as with reload_dataloaders_every_n_epochs: this one goes on
            self._first_example = self.examples_consumed
        self._has_loader = True
        self._batches_before = self._batches_run()
        batches = self._train_batches(
            {
                "batch_size": self.batch_size,
                "first_example": self._first_example,
                "rank": self._rank,
                "world_size": self._world_size,
                "batches_per_pass": None if self.endless else self._batches_per_pass(),
            }
        )
        batches.batches_given = self._batches_of_epoch() % self._batches_per_pass()
        overfits = self.trainer and self.trainer.overfit_batches  # pyright: ignore[reportAttributeAccessIssue]  # set late
        if overfits:
            return self._loader(OnePass(batches.batch, self._batches_per_pass()))
        return self._loader(batches, EndlessLoader)

    def val_dataloader(self) -> DataLoader:
        return self._scoring_loader(self._val_batches)

    def test_dataloader(self) -> DataLoader:
        return self._scoring_loader(self._test_batches)

    def predict_dataloader(self) -> DataLoader:
        return self.val_dataloader()

    def state_dict(self) -> dict[str, int]:
        return {"examples_consumed": self.examples_consumed}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        self._first_example = state_dict["examples_consumed"]

    def _scoring_loader(self, batches_of: Callable[[int, int], Dataset]) -> DataLoader:
        shares = [batches_of(rank, self._world_size) for rank in range(self._world_size)]
        most = max(len(share) for share in shares)  # type: ignore[arg-type]
        return self._loader(EvenBatches(shares[self._rank], most))

    def _loader(self, batches: Dataset, kind: type[DataLoader] = DataLoader) -> DataLoader:
        return kind(
            batches,
            batch_size=None,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=_ignore_signals,
            generator=torch.Generator(),  # not the one that draws dropout
        )

    def _batches_per_pass(self) -> int:
        return -(-self.num_examples // (self.batch_size * self._world_size))

    def _batches_of_epoch(self) -> int:
        return self.trainer.fit_loop.batch_idx + 1 if self.trainer else 0

    def _batches_run(self) -> int:
        return self.trainer.fit_loop.total_batch_idx + 1 if self.trainer else 0

    @property
    def _world_size(self) -> int:
        return self.trainer.world_size if self.trainer else 1

    @property
    def _rank(self) -> int:
        return self.trainer.global_rank if self.trainer else 0
