"""Compares a model with what a page's own engine computes in Node."""

import copy
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

import torch

from transformer.export.comparison import Different, compare
from transformer.export.html.pair_comparison import compare_pairs
from transformer.export.html.reloaded import FailedError, ReloadedPage
from transformer.models.base import SequenceModel
from transformer.models.encoder_decoder import EncoderDecoder
from transformer.pages.live.packing import read_back
from transformer.storage.metadata import distinct_tensors
from transformer.storage.saved_model import SavedModel


def _compare_texts(saved: SavedModel, page: ReloadedPage, program: str) -> str:
    return compare(saved, page, program).text


_COMPARED: dict[type[SequenceModel], Callable[[SavedModel, ReloadedPage, str], str]] = {
    EncoderDecoder: compare_pairs,
}


def compare_page(saved: SavedModel, page: ReloadedPage, number_format: str, program: str) -> str:
    """The figures, with the weights as the page has them.

    Raises: UserError where they differ by more than rounding, or where Node fails.
    """
    compare_kind = _COMPARED.get(type(saved.model), _compare_texts)
    with closing(page):
        try:
            return compare_kind(with_page_weights(saved, number_format), page, program)
        except FailedError as error:
            raise Different(program, f"it fails: {str(error)[:200]}") from error


@torch.no_grad()
def with_page_weights(saved: SavedModel, number_format: str) -> SavedModel:
    """A copy with the weights that a page has: those of int8 are rounded."""
    model = copy.deepcopy(saved.model)
    state = model.state_dict()
    for name, tensor in read_back(
        distinct_tensors(saved.model.state_dict()), number_format
    ).items():
        state[name].copy_(tensor)
    return replace(saved, model=model)
