"""The exact loss of a model on a text, and simple baselines to compare with."""

import lzma
import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from transformer.data.order import drawn_windows, num_windows
from transformer.data.text.batches import WindowBatches, validation_batch_size
from transformer.data.tokenizers.base import TextSize, Tokenizer
from transformer.data.tokenizers.utf8 import as_bytes, count_characters
from transformer.evaluation.loss import mean_loss
from transformer.evaluation.members import AVERAGED, named_models
from transformer.models.base import TokenModel

Tokens = NDArray[np.integer]

MEAN = "their mean"  # of the losses of an ensemble's members


@dataclass(frozen=True)
class Score:
    """A mean loss in nats per token over `num_scored` tokens; `size` is the size of their text."""

    loss: float
    num_scored: int
    size: TextSize

    @property
    def bits_per_char(self) -> float | None:
        """None for bytes that are no UTF-8."""
        return self._bits_per(self.size.num_characters)

    @property
    def bits_per_byte(self) -> float | None:
        """None for tokens without bytes."""
        return self._bits_per(self.size.num_bytes)

    @property
    def perplexity(self) -> float:
        return math.exp(min(self.loss, 700.0))  # a float overflows at about 710

    def _bits_per(self, num_units: int | None) -> float | None:
        return self.loss / math.log(2) * (self.num_scored / num_units) if num_units else None

    def as_dict(self) -> dict[str, float | None]:
        names = ("loss", "num_scored", "bits_per_char", "bits_per_byte", "perplexity")
        return {name: getattr(self, name) for name in names}


def score_models(
    model: TokenModel,
    tokens: Tokens | Tensor,
    tokenizer: Tokenizer,
    most_tokens: int | None = None,
) -> dict[str, Score]:
    """The scores of a model; for an ensemble, of each member, and the mean of their losses.

    All read windows of the same length, the smallest block_size.
    """
    scores = {
        name: score_model(one, tokens, tokenizer, most_tokens, model.block_size)
        for name, one in named_models(model).items()
    }
    if AVERAGED in scores:
        averaged = scores.pop(AVERAGED)
        mean = sum(score.loss for score in scores.values()) / len(scores)
        scores |= {MEAN: replace(averaged, loss=mean), AVERAGED: averaged}
    return scores


def score_model(
    model: TokenModel,
    tokens: Tokens | Tensor,
    tokenizer: Tokenizer,
    most_tokens: int | None = None,
    block_size: int | None = None,
) -> Score:
    """The model's exact loss over all `tokens`, read in adjacent windows of block_size.

    A window has no context from earlier windows. Each token except the first is scored once. With
    `most_tokens`, only so many tokens are read, in windows that are spread over the text. The
    block_size is by default that of the model, and at most that.
    """
    tokens = torch.as_tensor(tokens)
    block_size = min(block_size or model.block_size, model.block_size, len(tokens) - 1)
    number = num_windows(len(tokens), block_size)
    read = len(tokens) if most_tokens is None else min(most_tokens, len(tokens))
    most = number if read == len(tokens) else max(1, read // block_size)
    windows = torch.from_numpy(drawn_windows(number, most))
    device_type = next(model.parameters()).device.type
    batch_size = validation_batch_size(block_size, model.architecture["vocab_size"], device_type)
    batches = WindowBatches(tokens, windows, block_size, batch_size)
    loss, num_scored = mean_loss(model, (batches[number] for number in range(len(batches))))
    return Score(loss, num_scored, tokenizer.size(_scored(tokens, windows, block_size)))


def _scored(tokens: Tensor, windows: Tensor, block_size: int) -> Tokens:
    """The targets of these windows."""
    if len(windows) == num_windows(len(tokens), block_size):
        return tokens[1:].numpy()
    starts = (windows * block_size + 1).tolist()
    return torch.cat([tokens[start : start + block_size] for start in starts]).numpy()


def score_unigram(train: Tokens, val: Tokens, tokenizer: Tokenizer) -> Score:
    """Predicts each token of `val` except the first by its frequency in `train`, counts + 1."""
    counts = np.bincount(train, minlength=tokenizer.vocab_size) + 1.0
    return _score(np.log(counts / counts.sum())[val[1:]], val, tokenizer)


class BigramCounts:
    """How often each token follows another in `train`; to predict by, each count is one higher."""

    def __init__(self, train: Tokens, vocab_size: int) -> None:
        self._vocab_size = vocab_size
        # A table would have vocab_size^2 entries.
        self._seen, self._counts = np.unique(self._pairs(train), return_counts=True)
        self._totals = np.bincount(train[:-1], minlength=vocab_size) + float(vocab_size)

    def log_probabilities(self, tokens: Tokens) -> NDArray[np.float64]:
        """In nats: of each token after the first, from the one before it."""
        wanted = self._pairs(tokens)
        places = np.minimum(np.searchsorted(self._seen, wanted), len(self._seen) - 1)
        followed = np.where(self._seen[places] == wanted, self._counts[places], 0) + 1.0
        return np.log(followed / self._totals[tokens[:-1]])

    def _pairs(self, tokens: Tokens) -> NDArray[np.int64]:
        return tokens[:-1].astype(np.int64) * self._vocab_size + tokens[1:]


def score_bigram(train: Tokens, val: Tokens, tokenizer: Tokenizer) -> Score:
    """Predicts each token by how often it follows the previous token in `train`, counts + 1."""
    counts = BigramCounts(train, tokenizer.vocab_size)
    return _score(counts.log_probabilities(val), val, tokenizer)


def score_xz(train: str, val: str, num_tokens: int | None = None) -> Score:
    """The bytes that `xz` adds for `val` after packing `train`, as nats per token.

    `num_tokens` of `val` are its characters if not given.

    The packed size is without the file format, which pads to four bytes. The result is at least one
    byte, because a smaller difference cannot be measured.
    """
    before, added = as_bytes(train), as_bytes(val)
    num_bits = 8 * max(1, _packed_size(before + added) - _packed_size(before))
    num_tokens = num_tokens or len(val)
    size = TextSize(count_characters(added), len(added))
    return Score(num_bits * math.log(2) / num_tokens, num_tokens, size)


def _packed_size(data: bytes) -> int:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9}]
    return len(lzma.compress(data, format=lzma.FORMAT_RAW, filters=filters))


def score_baselines(tokenizer: Tokenizer, train: str, val: str) -> dict[str, Score]:
    """The scores on `val` of simple models that learn from `train`, by name."""
    train_ids, val_ids = tokenizer.encode(train), tokenizer.encode(val)
    return {
        "bigram": score_bigram(train_ids, val_ids, tokenizer),
        "unigram": score_unigram(train_ids, val_ids, tokenizer),
        "xz": score_xz(train, val, len(val_ids)),
    }


def _score(log_probabilities: NDArray[np.floating], val: Tokens, tokenizer: Tokenizer) -> Score:
    loss = float(-log_probabilities.mean())
    return Score(loss, len(log_probabilities), tokenizer.size(val[1:]))
