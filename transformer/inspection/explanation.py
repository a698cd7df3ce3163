"""Explains a model on a text: the surprise of each unit, and what each position reads."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from transformer.data.tokenizers.base import Tokenizer
from transformer.generation.translation import Translator
from transformer.models.base import TokenModel, evaluating
from transformer.special_ids import BEGIN, END, NUM_SPECIALS, PADDING
from transformer.system.errors import UserError

NUM_ALTERNATIVES = 5
SPECIAL_NAMES = {PADDING: "padding", BEGIN: "begin", END: "end"}


@dataclass(frozen=True)
class Unit:
    """A token of a text, or a unit of a pair's target, and what the model expected in its place.

    `surprise` is -log2 p in bits, where p is its probability after the units before it.
    `alternatives` are the likeliest units in its place with their probabilities, the likeliest
    first; the unit itself may be one of them. The first token of a text was not predicted, so it
    has neither.
    """

    text: str
    surprise: float | None = None
    alternatives: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Explanation:
    """What a model reads and predicts in a text, or in a source and its target.

    `attention[n, h, t, s]` is how much position t reads from position s in block n and head h; a
    model without attention has 0 blocks. For a GPT, t and s are indices into `units`: the model
    predicts the unit after t. For a pair, s is an index into `source`: at t the model predicts unit
    t of the target.
    """

    units: tuple[Unit, ...]
    attention: NDArray[np.float32]  # (N, H, T, S)
    source: tuple[str, ...] | None = None
    word: str = "character"  # for one of the units
    num_bytes: tuple[int, ...] | None = None  # of each unit, if that is not a character

    @property
    def rows(self) -> list[str]:
        return [unit.text for unit in self.units]

    @property
    def columns(self) -> list[str]:
        return self.rows if self.source is None else list(self.source)

    @property
    def mean_surprise(self) -> float | None:
        """The mean in bits over all predicted units: the loss in nats / ln 2."""
        surprises = [unit.surprise for unit in self.units if unit.surprise is not None]
        return sum(surprises) / len(surprises) if surprises else None

    @property
    def mean_per_byte(self) -> float | None:
        """The sum of all surprises in bits, divided by the bytes of the predicted units."""
        if self.num_bytes is None or self.mean_surprise is None:
            return None
        predicted = [unit.surprise is not None for unit in self.units]
        total = sum(
            size for size, is_counted in zip(self.num_bytes, predicted, strict=True) if is_counted
        )
        return self.mean_surprise * sum(predicted) / total if total else None

    @property
    def entropy(self) -> NDArray[np.float64]:
        """Mean over positions of -sum w log2 w (bits), w its weights; for each block and head."""
        weights = self.attention.astype(np.float64)
        logarithms = np.log2(weights, out=np.zeros_like(weights), where=weights > 0)
        return np.abs((weights * logarithms).sum(axis=-1).mean(axis=-1))  # never -0.0


@torch.inference_mode()
def explain_text(model: TokenModel, tokenizer: Tokenizer, text: str | Sequence[int]) -> Explanation:
    """Explains the last block_size tokens of `text` or of ids, without the text before them.

    Raises: UserError for an empty text, for unknown characters, and for logits that are not finite.
    """
    known = tokenizer.encode(text) if isinstance(text, str) else np.array(text, dtype=np.int32)
    ids = known[-model.block_size :]
    if not len(ids):
        raise UserError("the text is empty: give at least one character")
    device = next(model.parameters()).device
    tokens = torch.from_numpy(ids).long().to(device)[None]
    with evaluating(model):
        logits = model(tokens)[0, :-1]
        attention = model.attention_weights(tokens)[:, 0]
    predicted = _predicted(logits, tokens[0, 1:], tokenizer.pieces)
    first = Unit(tokenizer.pieces[int(ids[0])])
    sizes = None
    if tokenizer.bits_per == "byte":
        sizes = tuple(len(tokenizer.bytes_of(int(id_))) for id_ in ids)
    return Explanation(
        (first, *predicted),
        attention.float().cpu().numpy(),
        word=tokenizer.units.removesuffix("s"),
        num_bytes=sizes,
    )


@torch.inference_mode()
def explain_translation(translator: Translator, source: str) -> Explanation:
    """Explains the greedy target of `source`, with its end if it has one.

    Raises: UserError like `Translator.search`.
    """
    model, tokenizer = translator.model, translator.tokenizer
    device = next(model.parameters()).device
    target = translator.search([source])[0][0]
    targets = [*target.tokens, END] if target.finished else target.tokens
    tokens = torch.tensor([[BEGIN, *targets[:-1]]], device=device)
    read = torch.from_numpy(translator.encode(source)).long().to(device)[None]
    with evaluating(model):
        logits = model(read, tokens)[0]
        attention = model.cross_attention_weights(read, tokens)[:, 0]
    names = [*(SPECIAL_NAMES[id_] for id_ in range(NUM_SPECIALS)), *tokenizer.target.vocabulary]
    never = [PADDING, BEGIN]  # decoding never chooses them
    units = _predicted(logits, torch.tensor(targets, device=device), names, never)
    return Explanation(
        units, attention.float().cpu().numpy(), tuple(tokenizer.source.split(source)), "unit"
    )


def _predicted(
    logits: Float[Tensor, "T V"],
    targets: Int[Tensor, " T"],
    names: Sequence[str],
    never: Sequence[int] = (),
) -> tuple[Unit, ...]:
    if not logits.isfinite().all():
        raise UserError("the model's logits are not finite, so there is nothing to explain")
    targets = targets.cpu()
    log_probabilities = logits.cpu().double().log_softmax(dim=-1)  # mps has no float64
    surprises = log_probabilities.gather(1, targets[:, None]).squeeze(1).abs() / math.log(2)
    log_probabilities[:, list(never)] = -math.inf
    count = min(NUM_ALTERNATIVES, len(names) - len(never))
    likeliest, ids = log_probabilities.exp().topk(count, dim=-1)
    texts = [names[int(token)] for token in targets]
    others = [[names[int(id_)] for id_ in row] for row in ids]
    rows = zip(texts, surprises.tolist(), others, likeliest.tolist(), strict=True)
    return tuple(
        Unit(text, bits, tuple(zip(best, shares, strict=True))) for text, bits, best, shares in rows
    )
