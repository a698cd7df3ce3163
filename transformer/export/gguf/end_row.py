"""The row of the output head for a token that the model does not have, and must never draw."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from transformer.models.gpt import GPT

_NUM_ROWS, _LONGEST = 32, 128  # of the texts that the model writes for it
_BELOW = 30.0  # nats
_RIDGE = 1e-3  # of the mean square of a hidden number: directions that nearly vanish do not count


@torch.inference_mode()
def end_row(model: GPT) -> Float[Tensor, " C"]:
    """Its logit is never the largest, and in a trained model it is far below all that matter.

    The mean of all rows has the mean of all logits. From it, a head without a bias can take nothing
    that is the same at all positions. But what a trained model's head sees, h, has a direction in
    common: u, from the least squares of h u = 1 over texts that the model writes. If h u is
    positive there everywhere, and for drawn tokens too, the row is the mean less `_BELOW` times u.
    """
    written, drawn = _texts(model)
    seen = _seen(model, written)
    squares = seen.T @ seen / len(seen)
    squares += _RIDGE * squares.diagonal().mean() * torch.eye(len(squares), dtype=torch.float64)
    common = torch.linalg.solve(squares, seen.mean(0))
    is_common = (torch.cat([seen, _seen(model, drawn)]) @ common > 0).all()
    mean = model.lm_head.weight.double().mean(0)
    return (mean - _BELOW * common if is_common else mean).float()


def _texts(model: GPT) -> tuple[Int[Tensor, "B T"], Int[Tensor, "B T"]]:
    """Tokens that the model writes, and tokens drawn evenly."""
    generator = torch.Generator().manual_seed(0)
    shape = (_NUM_ROWS, min(model.block_size, _LONGEST))
    drawn = torch.randint(model.architecture["vocab_size"], shape, generator=generator)
    written = model.generate(drawn[:, :1], max_new_tokens=shape[1], temperature=1.0)
    return written[:, : shape[1]], drawn


def _seen(model: GPT, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "N C"]:
    """What the head sees at each position."""
    found: list[Tensor] = []
    hook = model.final_norm.register_forward_hook(lambda *given: found.append(given[-1]))
    try:
        model(tokens)
    finally:
        hook.remove()
    return found[0].flatten(0, 1).double()
