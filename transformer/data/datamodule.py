"""The LightningDataModule that turns a character-level corpus into batches of chunks."""

from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset

from transformer.data.batches import ChunkBatches, WindowBatches, validation_batch_size
from transformer.data.chunks import ChunkOrder, num_chunks, num_windows, sampled_windows
from transformer.data.corpus import Corpus, check_length

# Validation during training looks at about this many tokens of a larger split.
MOST_VALIDATION_TOKENS = 1_000_000


class CharacterDataModule(pl.LightningDataModule):
    """Chunks of a text file for training, windows of its tail for validation.

    `stride` is the distance between the starts of two chunks, in characters. The training loader
    never ends when `endless`, as a Trainer with max_steps wants it; otherwise a pass ends once as
    many chunks were given as there are, so that a Trainer with max_epochs counts passes. Either
    way the order is one endless sequence (`ChunkOrder`), and a checkpoint holds how many chunks
    were consumed.

    Raises: UserError for a corpus that is missing, not UTF-8 or shorter than a chunk in a split.
    """

    def __init__(
        self,
        data_path: str | Path,
        *,
        block_size: int,
        batch_size: int,
        stride: int | Literal["block_size"] = 1,
        val_fraction: float = 0.1,
        num_workers: int = 0,
        seed: int = 0,
        endless: bool = False,
        corpus: Corpus | None = None,
    ) -> None:
        super().__init__()
        self.corpus = Corpus.from_file(data_path) if corpus is None else corpus
        check_length(len(self.corpus.tokens), val_fraction, block_size, data_path)
        self.block_size = block_size
        self.batch_size = batch_size
        self.stride = block_size if stride == "block_size" else stride
        self.num_workers = num_workers
        self.endless = endless
        train, val = self.corpus.split(val_fraction)
        self.train_tokens = torch.from_numpy(train)
        self.val_tokens = torch.from_numpy(val)
        self.num_chunks = num_chunks(len(train), block_size, self.stride)
        self.order = ChunkOrder(self.num_chunks, seed)
        self._first_chunk = 0
        self._batches_before = 0

    @property
    def tokenizer_state(self) -> dict[str, Any]:
        return self.corpus.tokenizer.state

    @property
    def vocab_size(self) -> int:
        return self.corpus.tokenizer.vocab_size

    @property
    def chunks_consumed(self) -> int:
        """Chunks trained on since the first step, over all ranks and resumes."""
        batches = self._batches_run() - self._batches_before
        return self._first_chunk + batches * self.batch_size * self._world_size

    def train_dataloader(self) -> DataLoader:
        self._batches_before = self._batches_run()
        chunks_per_batch = self.batch_size * self._world_size
        batches = ChunkBatches(
            self.train_tokens,
            self.order,
            block_size=self.block_size,
            stride=self.stride,
            batch_size=self.batch_size,
            first_chunk=self._first_chunk,
            rank=self._rank,
            world_size=self._world_size,
            batches_per_pass=None if self.endless else -(-self.num_chunks // chunks_per_batch),
        )
        return self._loader(batches)

    def val_dataloader(self) -> DataLoader:
        """Every rank takes every world_size-th window; a large split is sampled evenly."""
        total = num_windows(len(self.val_tokens), self.block_size)
        most = max(1, MOST_VALIDATION_TOKENS // self.block_size)
        windows = torch.from_numpy(sampled_windows(total, most))[self._rank :: self._world_size]
        batch_size = validation_batch_size(self.block_size)
        return self._loader(WindowBatches(self.val_tokens, windows, self.block_size, batch_size))

    def state_dict(self) -> dict[str, int]:
        return {"chunks_consumed": self.chunks_consumed}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        self._first_chunk = state_dict["chunks_consumed"]

    def _loader(self, batches: Dataset) -> DataLoader:
        return DataLoader(
            batches,
            batch_size=None,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
        )

    def _batches_run(self) -> int:
        if self.trainer is None:
            return 0
        return self.trainer.fit_loop.epoch_loop.batch_progress.total.ready

    @property
    def _world_size(self) -> int:
        return self.trainer.world_size if self.trainer else 1

    @property
    def _rank(self) -> int:
        return self.trainer.global_rank if self.trainer else 0
