"""Compares a model with what another program computes from its export."""

from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from transformer.data.prompts import prompt_of
from transformer.data.tokenizers.base import Tokenizer
from transformer.export.hostile_texts import hostile_texts
from transformer.export.reloaded import Reloaded
from transformer.models.base import TokenModel
from transformer.storage.saved_model import SavedModel
from transformer.system.errors import UserError

NUM_TEXTS = 1000
NUM_NEW = 256
# Positions whose logits are compared. transformers computes the angles of rotary positions in
# float32, whose error grows with the position: at 1,024 it can be more than the tolerance.
_LONGEST = 256


class Comparison(NamedTuple):
    """The figures: `difference` is that of two logits, as a share of the spread of all."""

    difference: float
    num_positions: int
    num_new: int  # greedy tokens, all equal
    num_texts: int

    @property
    def text(self) -> str:
        return (
            f"logits at {self.num_positions:,} positions differ by {self.difference:.1e} of their "
            f"spread at most, {self.num_new:,} greedy tokens are the same, and so are ids and text "
            f"of {self.num_texts:,} hostile strings"
        )


class Different(UserError):
    """The other program computes something else."""

    def __init__(self, program: str, found: str) -> None:
        super().__init__(
            f"{program} computes something else, so nothing is written: {found}; try the version "
            "that requirements-export.txt names"
        )


def compare(saved: SavedModel, theirs: Reloaded, program: str) -> Comparison:
    """Raises: UserError where they differ by more than rounding."""
    model, tokenizer = saved.model, saved.tokenizer
    assert isinstance(model, TokenModel)
    assert isinstance(tokenizer, Tokenizer)
    num_texts = _compare_texts(tokenizer, theirs, program)
    tokens = _drawn_tokens(model)
    difference, num_positions = _compare_logits(model, theirs, tokens, program)
    prompt = tokenizer.encode(prompt_of(saved.config, tokenizer)).tolist()
    prompt = prompt[: max(1, model.block_size // 2)]
    num_new = _compare_greedy(model, theirs, prompt, program)
    return Comparison(difference, num_positions, num_new, num_texts)


def _drawn_tokens(model: TokenModel) -> Int[Tensor, "1 T"]:
    shape = (1, min(model.block_size, _LONGEST))
    generator = torch.Generator().manual_seed(0)
    return torch.randint(model.architecture["vocab_size"], shape, generator=generator)


def _compare_texts(tokenizer: Tokenizer, theirs: Reloaded, program: str) -> int:
    texts = hostile_texts(tokenizer, NUM_TEXTS)
    for text in texts:
        ours, _ = tokenizer.encode_known(text)
        found = list(theirs.encode(text))
        if found != ours.tolist():
            raise Different(program, f"the ids of {text[:40]!r} are {found[:20]}")
        if (back := theirs.decode(found)) != tokenizer.decode(ours):
            raise Different(program, f"the text of the ids of {text[:40]!r} is {back[:40]!r}")
    return len(texts)


@torch.inference_mode()
def _compare_logits(
    model: TokenModel, theirs: Reloaded, tokens: Tensor, program: str
) -> tuple[float, int]:
    """As `logit_difference`, and the number of positions."""
    ours, found = theirs.comparable(model(tokens).double()), theirs.logits(tokens)
    return logit_difference(ours, found, theirs.tolerance, program), found.shape[1]


def logit_difference(ours: Tensor, found: Tensor, tolerance: float, program: str) -> float:
    """The largest difference as a share of the spread of all. Raises: UserError above tolerance."""
    if found.shape != ours.shape:
        raise Different(program, f"logits {tuple(found.shape)} in place of {tuple(ours.shape)}")
    difference = ((found.double() - ours.double()).abs().max() / ours.double().std()).item()
    if not difference <= tolerance:  # nor NaN
        raise Different(program, f"logits differ by {difference:.1e} of their spread")
    return difference


@torch.inference_mode()
def _compare_greedy(model: TokenModel, theirs: Reloaded, prompt: list[int], program: str) -> int:
    """The number of tokens that are the same, up to a tie of two or to the end of the context.

    Beyond that the programs differ: this one moves the window on.
    """
    num_new = min(NUM_NEW, model.block_size - len(prompt))
    rows = torch.tensor([prompt])
    ours = model.generate(rows, max_new_tokens=num_new, temperature=0.0)[0, len(prompt) :].tolist()
    found = list(theirs.continued(prompt, num_new))
    if len(found) != num_new:
        raise Different(program, f"{len(found)} greedy tokens in place of {num_new}")
    for number, (own, other) in enumerate(zip(ours, found, strict=True)):
        if own != other:
            if other >= model.architecture["vocab_size"]:
                raise Different(program, f"greedy token {number + 1} of {num_new} is none of ours")
            logits = model(torch.tensor([[*prompt, *ours[:number]]]))[0]
            if (logits[-1, own] - logits[-1, other]) / logits.std() > theirs.tolerance:
                raise Different(program, f"greedy token {number + 1} of {num_new} is another")
            return number  # both are as likely, but for rounding
    return num_new
