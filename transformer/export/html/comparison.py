"""Compares a model with what a page's own engine computes in Node."""

import copy
from contextlib import closing
from dataclasses import replace

import torch

from transformer.export.comparison import Different, compare
from transformer.export.html.reloaded import FailedError, ReloadedPage
from transformer.pages.live.packing import read_back
from transformer.storage.metadata import distinct_tensors
from transformer.storage.saved_model import SavedModel


def compare_page(saved: SavedModel, page: ReloadedPage, number_format: str, program: str) -> str:
    """The figures, with the weights as the page has them.

    Raises: UserError where they differ by more than rounding, or where Node fails.
    """
    with closing(page):
        try:
            return compare(with_page_weights(saved, number_format), page, program).text
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
