"""The LightningDataModule that makes batches of source -> target pairs."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import torch

from transformer.data.datamodule import EndlessDataModule
from transformer.data.endless import Share
from transformer.data.order import EndlessOrder, sampled_windows
from transformer.data.pairs.batches import (
    PairBatch,
    PairBatches,
    Ragged,
    RaggedPairs,
    SortedPairBatches,
    batches_per_epoch,
)
from transformer.data.pairs.reading import Pairs, read_pairs
from transformer.data.pairs.settings import PairSettings, Units
from transformer.data.tokenizers.pairs import PairTokenizer
from transformer.system.errors import UserError
from transformer.system.paths import expanded


def _as_texts(
    data_path: str | Path, val_path: str | Path | None, test_path: str | Path | None
) -> tuple[str, str | None, str | None]:
    """A checkpoint with a str loads without pickle."""
    own = [None if path is None else str(expanded(path)) for path in (val_path, test_path)]
    return str(expanded(data_path)), own[0], own[1]


class PairDataModule(EndlessDataModule):
    """Pairs for training, validation and test; each source is in one of the three splits only.

    `val_path` and `test_path` are files for these splits, of which then nothing is split off
    `data_path`. `splits` holds indices into `pairs`. If `pairs` is given, no file is read again.

    Raises: UserError for a file that `read_pairs` rejects, or with an empty training or validation
    split.
    """

    def __init__(
        self,
        data_path: str | Path,
        *,
        block_size: int,
        batch_size: int,
        source_units: Units = "characters",
        target_units: Units = "characters",
        val_fraction: float = 0.1,
        test_fraction: float | Literal["auto"] = "auto",
        val_path: str | Path | None = None,
        test_path: str | Path | None = None,
        skip_bad_lines: bool = False,
        shared_vocabulary: bool = False,
        vocab_size: int | Literal["auto"] = "auto",
        min_frequency: int = 2,
        num_workers: int = 0,
        seed: int = 0,
        endless: bool = False,
        pairs: Pairs | None = None,
    ) -> None:
        super().__init__(batch_size=batch_size, num_workers=num_workers, endless=endless)
        data_path, val_path, test_path = _as_texts(data_path, val_path, test_path)
        self.save_hyperparameters(ignore=["pairs"])
        settings = PairSettings(
            block_size=block_size,
            val_fraction=val_fraction,
            test_fraction=test_fraction,
            val_path=val_path,
            test_path=test_path,
            source_units=source_units,
            target_units=target_units,
            skip_bad_lines=skip_bad_lines,
            shared_vocabulary=shared_vocabulary,
            vocab_size=vocab_size,
            min_frequency=min_frequency,
        )
        pairs = read_pairs(data_path, settings, build=True) if pairs is None else pairs
        self._take(pairs, settings, seed)

    def _take(self, pairs: Pairs, settings: PairSettings, seed: int) -> None:
        pairs.check_splits(settings)
        self.pairs = pairs
        self.splits = pairs.split(*settings.fractions)
        self.train_pairs = self._encoded(self.splits.train)
        self.val_pairs = self._encoded(self.splits.val)
        self.num_train_tokens = int(self.train_pairs.num_tokens.sum())
        self.num_val_tokens = int(self.val_pairs.num_tokens.sum())
        self.num_examples, self.num_val_examples = len(self.train_pairs), len(self.val_pairs)
        self.seed = seed
        self.order = EndlessOrder(self.num_examples, seed)

    @property
    def tokenizer(self) -> PairTokenizer:
        return self.pairs.tokenizer

    def padding_fraction(self) -> float:
        """The fraction of padding in the positions of the first epoch's batches, on one device."""
        return self._first_epoch().padding_fraction()

    def batch_shapes(self, quantile: float) -> list[tuple[int, ...]]:
        """The shapes of source, tokens and targets in a batch of the first epoch.

        `quantile` of the batches are smaller; 1 stands for the largest one.
        """
        batches = self._first_epoch()
        by_size = batches.num_positions().argsort()
        number = int(by_size[round(quantile * (len(by_size) - 1))])
        return [tuple(tensor.shape) for tensor in batches.batch(number)]

    def _first_epoch(self):
        return self._train_batches(Share(batch_size=self.batch_size))

    def every_val_batch(self) -> Iterator[PairBatch]:
        """The batches of the whole validation split, not of one rank's part."""
        batches = SortedPairBatches(self.val_pairs, torch.arange(len(self.val_pairs)))
        return map(batches.batch, range(len(batches)))

    def _encoded(self, indices: Iterable[int]) -> RaggedPairs:
        pairs, tokenizer = self.pairs, self.tokenizer
        return RaggedPairs(
            Ragged(tokenizer.source.encode(pairs.sources[index]) for index in indices),
            Ragged(tokenizer.target.encode(pairs.targets[index]) for index in indices),
        )

    def _batches_per_pass(self) -> int:
        return batches_per_epoch(self.num_examples, self.batch_size * self._world_size)

    def _train_batches(self, share: Share):  # beartype warns of an IterableDataset in an annotation
        return PairBatches(self.train_pairs, self.order, share, seed=self.seed)

    def _val_batches(self, rank: int, world_size: int) -> SortedPairBatches:
        total = len(self.val_pairs)
        most = max(world_size, self.most_val_tokens * total // self.num_val_tokens)
        rows = torch.from_numpy(sampled_windows(total, most))[rank::world_size]
        return SortedPairBatches(self.val_pairs, rows)

    def _test_batches(self, rank: int, world_size: int) -> SortedPairBatches:
        if not self.splits.test:
            raise UserError(
                "test_fraction=0 keeps no pairs for a test: give a larger one, or a test_path"
            )
        pairs = self._encoded(self.splits.test)
        return SortedPairBatches(pairs, torch.arange(rank, len(pairs), world_size))
