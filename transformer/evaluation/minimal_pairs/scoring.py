"""The log-probabilities that models give to sentences."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from transformer.data.text.batches import validation_batch_size
from transformer.evaluation.side_by_side import side_by_side
from transformer.evaluation.text import BigramCounts
from transformer.models.base import TokenModel, evaluating
from transformer.special_ids import IGNORED

Tokens = NDArray[np.integer]
Sums = NDArray[np.float64]


class Batch(NamedTuple):
    numbers: list[int]  # of the sentence of each row
    inputs: Tensor  # (B, T)
    targets: Tensor  # (B, T)


class Window(NamedTuple):
    """Reads a sentence's tokens from `start` to `stop`; those from `scored` on are targets."""

    sentence: int
    start: int
    scored: int
    stop: int

    @property
    def length(self) -> int:
        return self.stop - self.start - 1


def windows(sentence: int, length: int, first_scored: int, block_size: int) -> Iterator[Window]:
    """How a sentence of `length` tokens is read.

    As when a model writes (`decoding/loop.py`): when a window is full, its older half is dropped,
    and the rest is read again from position 0. So a long sentence, too, has the probability with
    which the model would write it.
    """
    start, scored = 0, first_scored
    while scored < length:
        stop = min(length, start + block_size + 1)
        yield Window(sentence, start, scored, stop)
        start, scored = start + block_size - block_size // 2, stop


def score_with_model(
    model: TokenModel, sentences: Sequence[Tokens], first_scored: int, block_size: int
) -> Sums:
    """The sum of log-probabilities (nats) of each sentence's tokens from `first_scored` on.

    The model reads `block_size` tokens at a time, see `windows`. It computes in its own number
    format; sums are added in float64. Equal sentences are computed once, so that their sums are
    equal to the last bit.
    """
    places: dict[bytes, int] = {}
    keys = [tokens.astype(np.int64).tobytes() for tokens in sentences]
    which = [places.setdefault(key, len(places)) for key in keys]
    distinct = [np.frombuffer(key, dtype=np.int64) for key in places]
    device = next(model.parameters()).device
    each: Callable = side_by_side if device.type == "cpu" else map
    sums = np.zeros(len(distinct))
    rows = _batches(distinct, first_scored, block_size, _batch_size(model))

    @torch.inference_mode()
    def losses_of(batch: Batch) -> tuple[list[int], Sums]:
        logits, targets = model(batch.inputs.to(device)), batch.targets.to(device)
        losses = F.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), reduction="none", ignore_index=IGNORED
        )
        return batch.numbers, losses.view(targets.shape).cpu().double().sum(dim=1).numpy()

    with evaluating(model):
        for numbers, losses in each(losses_of, rows):
            np.subtract.at(sums, numbers, losses)  # a long sentence has several windows
    return sums[which]


def _batch_size(model: TokenModel) -> Callable[[int], int]:
    """How many rows a batch has, by their length."""
    device_type = next(model.parameters()).device.type
    vocab_size = model.architecture["vocab_size"]
    return lambda length: validation_batch_size(length, vocab_size, device_type)


def _batches(
    sentences: Sequence[Tokens],
    first_scored: int,
    block_size: int,
    batch_size: Callable[[int], int],
) -> Iterator[Batch]:
    """Windows of about equal length, the longest first, so that little is padding."""
    rows = [
        window
        for number, tokens in enumerate(sentences)
        for window in windows(number, len(tokens), first_scored, block_size)
    ]
    rows.sort(key=lambda row: -row.length)
    at = 0
    while at < len(rows):
        size = batch_size(rows[at].length)
        yield _batch(rows[at : at + size], sentences)
        at += size


def _batch(rows: Sequence[Window], sentences: Sequence[Tokens]) -> Batch:
    inputs = np.zeros((len(rows), rows[0].length), dtype=np.int64)
    targets = np.full_like(inputs, IGNORED)
    for place, row in enumerate(rows):
        tokens = sentences[row.sentence][row.start : row.stop]
        first = row.scored - row.start
        inputs[place, : row.length] = tokens[:-1]
        targets[place, first - 1 : row.length] = tokens[first:]
    return Batch(
        [row.sentence for row in rows], torch.from_numpy(inputs), torch.from_numpy(targets)
    )


def score_with_bigram(counts: BigramCounts, sentences: Sequence[Tokens], first_scored: int) -> Sums:
    """As `score_with_model`, by how often a token followed another."""
    return np.array(
        [counts.log_probabilities(tokens)[first_scored - 1 :].sum() for tokens in sentences]
    )
