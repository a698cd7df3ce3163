"""Compares an encoder-decoder with what a page's own engine computes from its texts."""

import math
from typing import Any

import torch
from torch import Tensor

from transformer.data.tokenizers.pairs import PairTokenizer, Side
from transformer.decoding.beam_search import Hypothesis, beam_search
from transformer.export.comparison import NUM_TEXTS, Different
from transformer.export.hostile_texts import hostile_texts
from transformer.export.html.reloaded import ReloadedPage
from transformer.models.encoder_decoder import EncoderDecoder
from transformer.special_ids import BEGIN, END, NUM_SPECIALS, PADDING
from transformer.storage.saved_model import SavedModel

_NUM_SOURCES = 5
_LONGEST = 64  # tokens of a source and of a target that are compared
_BEAMS = (1, 3)


def compare_pairs(saved: SavedModel, page: ReloadedPage, program: str) -> str:
    """The figures. Raises: UserError where they differ by more than rounding."""
    model, tokenizer = saved.model, saved.tokenizer
    assert isinstance(model, EncoderDecoder)
    assert isinstance(tokenizer, PairTokenizer)
    num_texts = _compare_texts(tokenizer.source, page, program)
    sources = _drawn_sources(model, tokenizer.source)
    differences = [
        _difference(model, tokenizer, page, text, num_beams, program)
        for text in sources
        for num_beams in _BEAMS
    ]
    return (
        f"the best targets of {len(sources)} sources are the same, greedily and with {_BEAMS[-1]} "
        f"beams, their scores differ by {max(differences):.1e} at most, and the ids of "
        f"{num_texts:,} hostile strings are the same"
    )


def _compare_texts(side: Side, page: ReloadedPage, program: str) -> int:
    texts = hostile_texts(side, NUM_TEXTS)
    for text in texts:
        if page.ask("encodeSource", text) != side.encode_known(text)[0].tolist():
            raise Different(program, f"the ids of {text[:40]!r} are others")
    return len(texts)


def _drawn_sources(model: EncoderDecoder, side: Side) -> list[str]:
    """Texts that the model can read whole."""
    generator = torch.Generator().manual_seed(0)
    found: list[str] = []
    for number in range(8 * _NUM_SOURCES):
        length = 1 + number * min(model.block_size, _LONGEST) // (8 * _NUM_SOURCES)
        ids = torch.randint(NUM_SPECIALS, side.vocab_size, (length,), generator=generator)
        text = side.decode(ids.numpy())
        if 0 < len(side.encode_known(text)[0]) <= model.block_size:
            found.append(text)
    return found[:: max(1, len(found) // _NUM_SOURCES)][:_NUM_SOURCES]


def _difference(
    model: EncoderDecoder,
    tokenizer: PairTokenizer,
    page: ReloadedPage,
    text: str,
    num_beams: int,
    program: str,
) -> float:
    """Of the two scores; of two targets that are as likely but for rounding, each may be best."""
    ours = _best(model, tokenizer.source.encode_known(text)[0], num_beams)
    request = {"text": text, "num_beams": num_beams, "max_new_tokens": _LONGEST}
    theirs: dict[str, Any] = page.ask("translate", request)
    difference = abs(theirs["score"] - ours.score)
    if not difference <= page.tolerance * max(1.0, math.fabs(ours.score)):  # nor NaN
        raise Different(program, f"a target of {text[:40]!r} has the score {theirs['score']}")
    expected = [*ours.tokens, END] if ours.finished else ours.tokens
    if theirs["ids"] != expected and num_beams == 1:
        raise Different(program, f"the target of {text[:40]!r} is {theirs['text'][:40]!r}")
    return difference


def _best(model: EncoderDecoder, source: Any, num_beams: int) -> Hypothesis:
    rows: Tensor = torch.from_numpy(source).long()[None]
    most = min(_LONGEST, model.block_size + 1)
    settings = {"begin": BEGIN, "end": END, "forbidden": (PADDING, BEGIN)}
    (found,) = beam_search(
        model.given(rows, most), 1, num_beams=num_beams, max_new_tokens=most, **settings
    )
    return found[0]
