"""Compares an encoder-decoder with what onnxruntime computes from its two graphs."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from transformer.export.comparison import Different, logit_difference
from transformer.export.onnx.names import DECODER, ENCODER
from transformer.export.onnx.session import Arrays, Session
from transformer.export.reloaded import Reloaded
from transformer.models.encoder_decoder import EncoderDecoder
from transformer.special_ids import BEGIN, NUM_SPECIALS, PADDING

_LONGEST = 256  # positions that are compared
_NUM_SOURCES = 5
_FORBIDDEN = [PADDING, BEGIN]  # never predicted


class ReloadedPair:
    """The encoder's outputs are inputs of the decoder."""

    def __init__(self, folder: Path) -> None:
        self.encoder, self.decoder = Session(folder / ENCODER), Session(folder / DECODER)

    def logits(self, source: Int[Tensor, "B S"], tokens: Int[Tensor, "B T"]) -> Tensor:
        memory = self._memory(source)
        past = self.decoder.empty_past(len(source))
        found, _ = self.decoder.step({"tokens": tokens.numpy(), **memory}, past)
        return torch.from_numpy(found)

    def greedy(self, source: Int[Tensor, "B S"], num_new: int) -> Int[Tensor, "B T"]:
        """The likeliest tokens one after the other, also after the end of a target."""
        memory, past = self._memory(source), self.decoder.empty_past(len(source))
        found = [np.full(len(source), BEGIN, np.int64)]
        for _ in range(num_new):
            logits, past = self.decoder.step({"tokens": found[-1][:, None], **memory}, past)
            logits[:, :, _FORBIDDEN] = -np.inf
            found.append(logits[:, -1].argmax(-1))
        return torch.from_numpy(np.stack(found[1:], axis=1))

    def _memory(self, source: Int[Tensor, "B S"]) -> Arrays:
        return {"source": source.numpy(), **self.encoder.run({"source": source.numpy()})}


@torch.inference_mode()
def compare_pairs(model: EncoderDecoder, folder: Path, program: str) -> str:
    """Raises: UserError where they differ by more than rounding."""
    theirs = ReloadedPair(folder)
    source, tokens = _drawn(model)
    ours, found = model(source, tokens), theirs.logits(source, tokens)
    difference = logit_difference(ours, found, Reloaded.tolerance, program)
    num_new = tokens.shape[1]
    if not _is_greedy(model, source, theirs.greedy(source, num_new)):
        raise Different(program, f"one of {num_new} greedy tokens is another")
    return (
        f"logits at {num_new:,} positions differ by {difference:.1e} of their spread at most, and "
        f"{num_new:,} greedy tokens of each of {_NUM_SOURCES} sources are the same"
    )


def _drawn(model: EncoderDecoder) -> tuple[Int[Tensor, "B S"], Int[Tensor, "B T"]]:
    """Sources of several lengths, and targets that are as long as they may be."""
    generator = torch.Generator().manual_seed(0)
    length = min(model.block_size, _LONGEST)
    sizes = model.settings.source_vocab_size, model.settings.vocab_size
    source, tokens = (
        torch.randint(NUM_SPECIALS, size, (_NUM_SOURCES, length + place), generator=generator)
        for place, size in enumerate(sizes)
    )
    for row in range(1, _NUM_SOURCES):
        source[row, max(1, length * row // _NUM_SOURCES) :] = PADDING
    tokens[:, 0] = BEGIN
    return source, tokens


def _is_greedy(model: EncoderDecoder, source: Tensor, found: Int[Tensor, "B T"]) -> bool:
    """Whether each token is the likeliest after those before it, but for ties."""
    begin = torch.full((len(found), 1), BEGIN)
    logits = model(source, torch.cat((begin, found[:, :-1]), dim=1))
    allowed = logits.clone()
    allowed[:, :, _FORBIDDEN] = -torch.inf
    gap = allowed.amax(-1) - allowed.gather(-1, found[..., None])[..., 0]
    return (gap.max() / logits.std()).item() <= Reloaded.tolerance
