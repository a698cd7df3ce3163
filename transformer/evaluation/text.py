"""The exact loss of a model on a text, and the simple baselines beside it."""

import lzma
import math
from dataclasses import asdict, dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from transformer.data.order import num_windows
from transformer.data.text.batches import WindowBatches, validation_batch_size
from transformer.data.tokenizers.characters import CharacterTokenizer
from transformer.models.base import TokenModel, evaluating
from transformer.special_ids import IGNORED


@dataclass(frozen=True)
class Score:
    """A mean loss in nats per character over `num_scored` characters, in its three usual units."""

    loss: float
    num_scored: int

    @property
    def bits_per_char(self) -> float:
        return self.loss / math.log(2)

    @property
    def perplexity(self) -> float:
        return math.exp(min(self.loss, 700.0))  # beyond, a float overflows

    def as_dict(self) -> dict[str, float]:
        units = {"bits_per_char": self.bits_per_char, "perplexity": self.perplexity}
        return asdict(self) | units


@torch.inference_mode()
def score_model(model: TokenModel, tokens: NDArray[np.integer] | Tensor) -> Score:
    """The model's exact loss over all of `tokens`: windows of block_size, end to end.

    The context starts anew in each window; each token but the first is scored once; float32.
    """
    tokens = torch.as_tensor(tokens)
    block_size = min(model.block_size, len(tokens) - 1)
    windows = torch.arange(num_windows(len(tokens), block_size))
    batches = WindowBatches(tokens, windows, block_size, validation_batch_size(block_size))
    device = next(model.parameters()).device
    total = 0.0
    with evaluating(model):
        for number in range(len(batches)):
            inputs, targets = (part.to(device) for part in batches[number])
            losses = F.cross_entropy(
                model(inputs).flatten(0, 1),
                targets.flatten(),
                reduction="none",
                ignore_index=IGNORED,
            )
            total += losses.cpu().double().sum().item()
    return Score(total / (len(tokens) - 1), len(tokens) - 1)


def score_unigram(train: NDArray[np.integer], val: NDArray[np.integer], vocab_size: int) -> Score:
    """Frequencies of the training split, each count one higher, on all of `val` but its first."""
    counts = np.bincount(train, minlength=vocab_size) + 1.0
    return _mean_loss(np.log(counts / counts.sum())[val[1:]])


def score_bigram(train: NDArray[np.integer], val: NDArray[np.integer], vocab_size: int) -> Score:
    """Frequencies of what follows each character in the training split, each count one higher."""
    pairs = train[:-1].astype(np.int64) * vocab_size + train[1:]
    seen, counts = np.unique(pairs, return_counts=True)  # a table would have vocab_size^2 entries
    wanted = val[:-1].astype(np.int64) * vocab_size + val[1:]
    places = np.minimum(np.searchsorted(seen, wanted), len(seen) - 1)
    followed = np.where(seen[places] == wanted, counts[places], 0) + 1.0
    totals = np.bincount(train[:-1], minlength=vocab_size) + float(vocab_size)
    return _mean_loss(np.log(followed / totals[val[:-1]]))


def score_xz(train: str, val: str) -> Score:
    """Bytes that `xz` needs more for train + val than for train alone, as nats a character.

    Without the file format around them, which pads to four bytes; one byte at least, the least
    that can be measured.
    """
    sizes = [len(_packed(text)) for text in (train, train + val)]
    return Score(max(1, sizes[1] - sizes[0]) * 8 * math.log(2) / len(val), len(val))


def _packed(text: str) -> bytes:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9}]
    return lzma.compress(text.encode("utf-8"), format=lzma.FORMAT_RAW, filters=filters)


def score_baselines(tokenizer: CharacterTokenizer, train: str, val: str) -> dict[str, Score]:
    """The simple models that learn from `train` and are scored on `val`, by name."""
    train_ids, val_ids = tokenizer.encode(train), tokenizer.encode(val)
    return {
        "bigram": score_bigram(train_ids, val_ids, tokenizer.vocab_size),
        "unigram": score_unigram(train_ids, val_ids, tokenizer.vocab_size),
        "xz": score_xz(train, val),
    }


def _mean_loss(log_probabilities: NDArray[np.floating]) -> Score:
    return Score(float(-log_probabilities.mean()), len(log_probabilities))
