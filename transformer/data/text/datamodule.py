"""The LightningDataModule that turns a text into batches of chunks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Int, Integer
from torch import Tensor

from transformer.data.datamodule import MOST_VALIDATION_TOKENS, EndlessDataModule
from transformer.data.endless import Share
from transformer.data.order import (
    EndlessOrder,
    Order,
    drawn_windows,
    num_chunks,
    num_windows,
    sampled_windows,
)
from transformer.data.reading import read_text_corpus
from transformer.data.sources.settings import in_words, listed
from transformer.data.text.batches import ChunkBatches, WindowBatches, validation_batch_size
from transformer.data.text.corpus import Corpus
from transformer.data.text.mix import MixedOrder
from transformer.data.text.settings import TextSettings
from transformer.data.tokenizer_choice import TokenizerChoice
from transformer.data.tokenizers.base import Tokenizer
from transformer.system.paths import expanded


def endless_order(corpus: Corpus, block_size: int, stride: int, seed: int) -> tuple[Order, int]:
    """The order of the training chunks, and the tokens from one of its positions to the next."""
    if not corpus.mix:
        return EndlessOrder(num_chunks(len(corpus.train), block_size, stride), seed), stride
    lengths = [part.num_tokens for part in corpus.mix]
    orders = [
        EndlessOrder(num_chunks(length, block_size, stride), seed + number)
        for number, length in enumerate(lengths)
    ]
    offsets = [sum(lengths[:number]) for number in range(len(lengths))]
    return MixedOrder(orders, offsets, stride, [part.weight for part in corpus.mix]), 1


class CharacterDataModule(EndlessDataModule):
    """Training reads chunks of the first part of a text file, validation windows of the rest.

    With a `test_fraction` the end of the text is kept for a test, otherwise a test reads all
    validation windows. `stride` is the distance in tokens between the starts of two chunks. A
    `corpus` is already split, so the fractions do not move its splits.

    `tokenizer` is the name of a kind, or the path of a file: see the config's key.

    Raises: UserError for a text that is missing, is not UTF-8, or has a split shorter than a chunk.
    """

    def __init__(
        self,
        data_path: str | Path | Sequence[str],
        *,
        block_size: int,
        batch_size: int,
        stride: int | Literal["block_size"] = 1,
        val_fraction: float = 0.1,
        test_fraction: float = 0.0,
        tokenizer: str = "characters",
        vocab_size: int | Literal["auto"] = "auto",
        min_frequency: int = 2,
        num_workers: int = 0,
        seed: int = 0,
        endless: bool = False,
        corpus: Corpus | None = None,
        val_max_tokens: int | Literal["auto"] = "auto",
    ) -> None:
        super().__init__(batch_size=batch_size, num_workers=num_workers, endless=endless)
        # A checkpoint with plain values loads without pickle.
        data_path = [str(expanded(path)) for path in listed(data_path)]
        data_path = data_path[0] if len(data_path) == 1 else data_path
        self.save_hyperparameters(ignore=["corpus"])
        choice = TokenizerChoice(
            tokenizer=str(expanded(tokenizer)), vocab_size=vocab_size, min_frequency=min_frequency
        )
        settings = TextSettings(
            block_size=block_size, val_fraction=val_fraction, test_fraction=test_fraction
        )
        self.corpus = corpus or read_text_corpus(data_path, settings, choice, build=True)
        self.corpus.check_length(block_size, val_fraction, in_words(data_path))
        if val_max_tokens != "auto":
            self.val_max_tokens = val_max_tokens
            self.most_val_tokens = min(self.most_val_tokens, val_max_tokens)
        self.block_size = block_size
        self.stride = block_size if stride == "block_size" else stride
        self._take_splits(self.corpus)
        self.order, self._step = endless_order(self.corpus, block_size, self.stride, seed)
        self.num_examples = self.order.size
        self.num_val_examples = num_windows(self.num_val_tokens, block_size)

    def _take_splits(self, corpus: Corpus) -> None:
        self.train_tokens = torch.from_numpy(corpus.train)
        self.val_tokens = torch.from_numpy(corpus.val)
        self.test_tokens = torch.from_numpy(corpus.test)
        self.num_train_tokens, self.num_val_tokens = len(self.train_tokens), len(self.val_tokens)
        self._scored_size = corpus.val_size or corpus.tokenizer.size(corpus.val[1:])

    @property
    def most_scored_tokens(self) -> int:
        """Tokens of a split that the last score reads, in windows drawn from it."""
        if self.corpus.val_size is not None:  # in token files
            return self.val_max_tokens or MOST_VALIDATION_TOKENS
        return self.val_max_tokens or self.num_val_tokens + len(self.test_tokens)

    @property
    def tokenizer(self) -> Tokenizer:
        return self.corpus.tokenizer

    @property
    def vocab_size(self) -> int:
        return self.tokenizer.vocab_size

    @property
    def tokens_per_unit(self) -> dict[str, float]:
        """For the tokens that a validation scores: all except the first. No `char` in other bytes
        than UTF-8."""
        num_scored = self.num_val_tokens - 1
        num_characters, num_bytes = self._scored_size
        units = {"char": num_characters, "byte": num_bytes}
        return {name: num_scored / number for name, number in units.items() if number}

    def _train_batches(self, share: Share):  # beartype warns of an IterableDataset in an annotation
        tokens = self._on_gpu_if_small(self.train_tokens)
        return ChunkBatches(
            tokens, self.order, share, block_size=self.block_size, stride=self._step
        )

    def _val_batches(self, rank: int, world_size: int) -> WindowBatches:
        most = max(world_size, self.most_val_tokens // self.block_size)
        choose = drawn_windows if self.has_large_validation else sampled_windows
        windows = torch.from_numpy(choose(self.num_val_examples, most))
        return self._windows(windows[rank::world_size], self.val_tokens)

    def _test_batches(self, rank: int, world_size: int) -> WindowBatches:
        tokens = self.test_tokens if len(self.test_tokens) else self.val_tokens
        number = num_windows(len(tokens), self.block_size)
        return self._windows(torch.arange(rank, number, world_size), tokens)

    def _windows(self, windows: Int[Tensor, " M"], tokens: Integer[Tensor, " N"]) -> WindowBatches:
        device_type = self.trainer.strategy.root_device.type if self.trainer else "cpu"
        vocab_size = self.corpus.tokenizer.vocab_size
        batch_size = validation_batch_size(self.block_size, vocab_size, device_type)
        return WindowBatches(tokens, windows, self.block_size, batch_size)
