from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from transformer.decoding.sampling import Sampler


@runtime_checkable  # so that the tests' shape checks can look at it
class NextTokenModel(Protocol):
    """A model that gives logits (B, T, V) for tokens (B, T) that continue those in a cache."""

    block_size: int

    def make_cache(self, num_rows: int) -> Any: ...

    def __call__(self, tokens: Tensor, /, *, cache: Any) -> Tensor: ...


class Step(NamedTuple):
    """One new token for each row, and the logits that it was chosen from."""

    tokens: Int[Tensor, " B"]
    logits: Float[Tensor, "B V"]


def decode(
    model: NextTokenModel,
    prompts: Sequence[Int[Tensor, " _"]],
    *,
    max_new_tokens: int | None,
    sampler: Sampler,
) -> Iterator[Step]:
    """Yields one new token for each prompt in every step; endless if max_new_tokens is None.

    The model reads a window of each row, which starts with the last block_size tokens. When a
    window is full, its older half is dropped, and the rest is read again from position 0.

    Raises: ValueError for an empty prompt, and for a max_new_tokens that is negative or not whole;
    NotFiniteError.
    """
    if max_new_tokens is not None and (max_new_tokens < 0 or max_new_tokens % 1):
        raise ValueError(f"max_new_tokens must be a whole number from 0, got {max_new_tokens}")
    if not all(len(prompt) for prompt in prompts):
        raise ValueError("a prompt must have at least one token")
    numbers = count() if max_new_tokens is None else range(int(max_new_tokens))
    sampler.start(prompts)
    cache = model.make_cache(len(prompts))
    step = None
    for _ in numbers:
        with torch.inference_mode():
            if step is None:
                logits = read(model, cache, [prompt[-model.block_size :] for prompt in prompts])
            else:
                logits = advance(model, cache, step.tokens)
            if logits.dtype not in (torch.float32, torch.float64):
                logits = logits.float()
            step = Step(sampler(logits), logits)
        yield step


def read(
    model: NextTokenModel, cache: Any, rows: Sequence[Int[Tensor, " _"]]
) -> Float[Tensor, "B V"]:
    """Reads rows of any lengths into an empty cache; returns the logits after each last token.

    Shorter rows are padded on the right, which no earlier token reads.
    """
    lengths = [len(row) for row in rows]
    padded = torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True)
    logits = model(padded, cache=cache)
    cache.lengths = lengths
    last = torch.tensor(lengths, device=logits.device) - 1
    return logits[torch.arange(len(rows), device=logits.device), last]


def advance(model: NextTokenModel, cache: Any, new: Int[Tensor, " B"]) -> Float[Tensor, "B V"]:
    size = model.block_size
    full = [row for row, length in enumerate(cache.lengths) if length == size]
    if not full:
        return model(new[:, None], cache=cache)[:, -1]
    kept = cache.tokens[full, size - size // 2 :]
    windows = list(torch.cat((kept, new[full, None]), dim=1))
    if len(full) == len(new):
        cache.clear()
        return read(model, cache, windows)
    for row in full:  # in the others' step these restart at position 0; their result is replaced
        cache.lengths[row] = 0
    logits = model(new[:, None], cache=cache)[:, -1]
    fresh = model.make_cache(len(full))
    logits[full] = read(model, fresh, windows)
    cache.put(full, fresh)
    return logits
