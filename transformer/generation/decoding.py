"""The decoding loop over token ids."""

from collections.abc import Callable, Iterator
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Int
from torch import Tensor


@runtime_checkable  # so that the tests' shape checks can look at it
class NextTokenModel(Protocol):
    """Anything that gives logits (B, T, V) for up to block_size tokens (B, T)."""

    block_size: int

    def __call__(self, tokens: Tensor, /) -> Tensor: ...


@torch.inference_mode()
def decode(
    model: NextTokenModel,
    tokens: Int[Tensor, "B T"],
    *,
    max_new_tokens: int,
    choose: Callable[[Tensor], Tensor],
) -> Iterator[Int[Tensor, " B"]]:
    """The tokens that follow `tokens`, one a row at a time, each chosen from the model's logits.

    The model reads the last block_size tokens.
    """
    window = tokens[:, -model.block_size :]
    for _ in range(max_new_tokens):
        new = choose(model(window)[:, -1].float())
        yield new
        window = torch.cat((window, new[:, None]), dim=1)[:, -model.block_size :]
