"""A model that begins with the weights of another one, whose vocabulary and context may differ."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from transformer.models.base import SequenceModel
from transformer.models.parts.layers import INITIAL_STD

# Of the logits of new symbols: together they take less than a millionth of the probability, so the
# loss on the old text stays as it was.
_NEW_LOGIT = -20.0
_NOISE = 0.1 * INITIAL_STD
_ROWS = ("token_embedding.weight", "lm_head.weight")
_BIAS = "lm_head.bias"
_POSITIONS = "position_embedding.weight"


def grown(architecture: Mapping[str, Any], vocab_size: int) -> dict[str, Any]:
    """The architecture of the same model with more symbols, whose ids follow the old ones."""
    if vocab_size == architecture["vocab_size"]:
        return dict(architecture)
    base = architecture.get("ngram_vocab_size") or architecture["vocab_size"]
    added = {"vocab_size": vocab_size, "head_bias": True, "ngram_vocab_size": base}
    return {**architecture, **added}


def grown_tensors(model: Mapping[str, Any], old: Mapping[str, Any]) -> list[str]:
    """The parameters with rows that the old model has not, from the architectures of both."""
    names: list[str] = []
    if model["vocab_size"] > old["vocab_size"]:
        names += [*_ROWS, _BIAS]
    if model["positions"] == "learned" and model["block_size"] > old["block_size"]:
        names.append(_POSITIONS)
    return names


@torch.no_grad()
def begin_with(model: SequenceModel, old: SequenceModel) -> None:
    """Takes all weights. Rows of new symbols get the mean of the old rows and a little noise.

    Learned positions beyond the old ones repeat these, as in Longformer (Beltagy et al. 2020,
    arXiv:2004.05150), 5. Other tensors are shared by both models afterwards, not copied: the old
    model must not be used any longer if the new one is trained.

    Raises: ValueError for a tensor that fits in no other way.
    """
    known = old.state_dict()
    for name, tensor in model.state_dict(keep_vars=True).items():
        if name == _BIAS:
            _fill_bias(tensor, known.get(name), old.architecture["vocab_size"])
        elif name in _ROWS and len(known[name]) < len(tensor):
            _add_rows(tensor, known[name], old.architecture)
        elif name == _POSITIONS:
            rows = torch.arange(len(tensor)) % len(known[name])
            tensor.copy_(known[name][rows])
        elif name not in known or known[name].shape != tensor.shape:
            raise ValueError(f"{name} does not fit")
        else:
            tensor.data = known[name].to(tensor)


def _add_rows(tensor: Tensor, old: Tensor, architecture: Mapping[str, Any]) -> None:
    tensor[: len(old)] = old
    first = architecture.get("ngram_vocab_size") or len(old)  # those of an earlier growth differ
    new = tensor[len(old) :]
    new.copy_(old[:first].mean(dim=0) + _NOISE * torch.randn(new.shape))


def _fill_bias(tensor: Tensor, old: Tensor | None, num_old: int) -> None:
    tensor[:num_old] = 0.0 if old is None else old
    tensor[num_old:] = _NEW_LOGIT
