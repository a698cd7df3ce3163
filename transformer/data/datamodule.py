"""The base class of the LightningDataModules: endless training batches that can be resumed."""

import signal
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from transformer.data.endless import CountedBatches, EvenBatches, OnePass, Share
from transformer.data.tokenizers.base import Tokenizer
from transformer.data.tokenizers.pairs import PairTokenizer

# Training tokens that take at most this share of a GPU's free memory are kept there.
_SHARE_OF_GPU = 0.1

# A validation during training reads about this many tokens if the split is larger.
MOST_VALIDATION_TOKENS = 1_000_000


def _ignore_signals(_: int) -> None:
    """Makes a worker process ignore signals such as Ctrl+C, which go to all processes of a run.

    After such a signal, the run still needs its next batch. Only a second SIGTERM ends the worker:
    torch and Python send SIGTERM to workers that are still running, and then wait for them.
    """
    for name in ("SIGINT", "SIGUSR1", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.signal(signal.SIGTERM, signal.SIG_DFL))


class EndlessLoader(DataLoader):
    """Its length is the number of batches in a pass.

    The dataset has no length, because Lightning would read it as a number of examples.
    """

    def __len__(self) -> int:
        """Raises: TypeError for a pass that never ends; Python and torch expect this error."""
        if (num_batches := self.dataset.share.batches_per_pass) is None:  # pyright: ignore
            raise TypeError("these batches never end")
        return num_batches


class EndlessDataModule(pl.LightningDataModule, ABC):
    """Training examples in one endless order; a checkpoint stores how many were consumed.

    With `endless`, the training loader never ends; use it with the Trainer's `max_steps`. Without
    it, a pass of the loader has as many examples as the training split, so that the Trainer's
    `max_epochs` counts passes. With `overfit_batches` of the Trainer, all passes have the same
    batches.
    """

    num_examples: int  # chunks or pairs in the training split
    num_val_examples: int  # windows or pairs in the validation split
    num_train_tokens: int
    num_val_tokens: int
    val_max_tokens: int | None = None  # at most so many tokens are read by each validation

    def __init__(self, *, batch_size: int, num_workers: int, endless: bool) -> None:
        super().__init__()
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.endless = endless
        self.most_val_tokens = MOST_VALIDATION_TOKENS
        self._first_example = 0
        self._batches_before = 0
        self._has_loader = False  # True after this fit's first training loader

    @property
    @abstractmethod
    def tokenizer(self) -> Tokenizer | PairTokenizer: ...

    @property
    def tokens_per_unit(self) -> Mapping[str, float]:
        """Mean tokens per `char` and per `byte`, for `val_bits_per_char`; empty for pairs."""
        return {}

    @abstractmethod
    def _train_batches(self, share: Share) -> Any:  # beartype warns of an IterableDataset here
        """The EndlessBatches of this share."""

    @abstractmethod
    def _val_batches(self, rank: int, world_size: int) -> CountedBatches:
        """Every world_size-th validation example; of a large split, a sample."""

    @abstractmethod
    def _test_batches(self, rank: int, world_size: int) -> CountedBatches:
        """Every world_size-th example of the whole test split."""

    @property
    def tokenizer_state(self) -> dict[str, Any]:
        return self.tokenizer.state

    @property
    def sizes(self) -> dict[str, int]:
        return self.tokenizer.sizes

    @property
    def looked_at_tokens(self) -> int:
        """Tokens that a validation during training reads."""
        return min(self.num_val_tokens, self.most_val_tokens)

    def look_at(self, num_tokens: int) -> None:
        """Makes the next validation loaders read about `num_tokens` tokens of their split."""
        whole = num_tokens >= self.num_val_tokens
        most = self._most_read_tokens
        self.most_val_tokens = most if whole else min(most, num_tokens)

    @property
    def has_large_validation(self) -> bool:
        """Whether no validation during training reads the whole split."""
        return self.num_val_tokens > self._most_read_tokens

    @property
    def _most_read_tokens(self) -> int:
        return min(MOST_VALIDATION_TOKENS, self.val_max_tokens or MOST_VALIDATION_TOKENS)

    @property
    def examples_consumed(self) -> int:
        """Training examples read since the first step, by all ranks and in all resumed runs."""
        batches = self._batches_run() - self._batches_before
        return self._first_example + batches * self.batch_size * self._world_size

    def setup(self, stage: str) -> None:
        """Hides three warnings of Lightning about loaders that do not apply here.

        Reading a batch is one indexing, so it needs no workers. Each worker reads different
        batches. A run that is resumed within an epoch continues at the same place.
        """
        self._has_loader = False
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message="Your `IterableDataset` has `__len__` defined")
        warnings.filterwarnings("ignore", message="You're resuming from a checkpoint that ended")

    def train_dataloader(self) -> DataLoader:
        if self._has_loader:  # reload_dataloaders_every_n_epochs asks for a new loader
            self._first_example = self.examples_consumed
        self._has_loader = True
        self._batches_before = self._batches_run()
        per_pass = self._batches_per_pass()
        share = Share(
            batch_size=self.batch_size,
            first_example=self._first_example,
            rank=self._rank,
            world_size=self._world_size,
            batches_per_pass=None if self.endless else per_pass,
        )
        batches = self._train_batches(share)
        if self.trainer:
            batches.batches_given = (self.trainer.fit_loop.batch_idx + 1) % per_pass
        if self.trainer and self.trainer.overfit_batches:  # pyright: ignore[reportAttributeAccessIssue]  # set late
            return self._loader(OnePass(batches.batch, per_pass), on_gpu=batches.on_gpu)
        return self._loader(batches, EndlessLoader, on_gpu=batches.on_gpu)

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

    def _scoring_loader(self, batches_of: Callable[[int, int], CountedBatches]) -> DataLoader:
        shares = [batches_of(rank, self._world_size) for rank in range(self._world_size)]
        return self._loader(EvenBatches(shares[self._rank], max(map(len, shares))))

    def _on_gpu_if_small(self, tokens: Tensor) -> Tensor:
        """A copy on the run's GPU, unless workers read the tokens or they take too much of it."""
        if not torch.cuda.is_available() or self.num_workers or not self.trainer:
            return tokens
        device = self.trainer.strategy.root_device
        if device.type != "cuda":
            return tokens
        most = _SHARE_OF_GPU * torch.cuda.mem_get_info(device)[0]
        if tokens.nbytes > most:
            return tokens
        # CUDA lacks some operations for the two bytes of token files.
        return tokens.to(device, torch.int32) if tokens.dtype == torch.uint16 else tokens.to(device)

    def _loader(
        self, batches: Dataset, kind: type[DataLoader] = DataLoader, *, on_gpu: bool = False
    ) -> DataLoader:
        return kind(
            batches,
            batch_size=None,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available() and not on_gpu,
            worker_init_fn=_ignore_signals,
            generator=torch.Generator(),  # torch's own would change the numbers that dropout draws
        )

    def _batches_per_pass(self) -> int:
        return -(-self.num_examples // (self.batch_size * self._world_size))

    def _batches_run(self) -> int:
        return self.trainer.fit_loop.total_batch_idx + 1 if self.trainer else 0

    @property
    def _world_size(self) -> int:
        return self.trainer.world_size if self.trainer else 1

    @property
    def _rank(self) -> int:
        return self.trainer.global_rank if self.trainer else 0
