"""Fills our model with the tensors of a pretrained model's folder, and the other way round."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch

from transformer.models.base import SequenceModel
from transformer.models.families.gpt import GPTSettings
from transformer.models.gpt import GPT
from transformer.models.parts.attention import FusedLinear
from transformer.models.parts.layers import skipped_initialization
from transformer.storage.pretrained.families.base import PretrainedFamily, Tensor
from transformer.storage.pretrained.fitting import Fitted
from transformer.storage.pretrained.tensor_files import (
    READ_TENSOR_ERRORS,
    TensorFile,
    tensors_of,
)
from transformer.storage.pretrained.values import Values
from transformer.system.errors import UserError, in_one_line

_HEAD = "lm_head.weight"


class Described(NamedTuple):
    """What the config.json of a folder says."""

    folder: Path
    family: type[PretrainedFamily]
    values: Values
    settings: GPTSettings


def loaded_model(described: Described) -> GPT:
    """Compares names and shapes first, so that a wrong folder costs no memory.

    Raises: UserError as `PretrainedFolder.model`.
    """
    folder, family, values, settings = described
    file, prefix = tensors_of(folder), family.prefix
    stored = {name.removeprefix(prefix): name for name in file.shapes}
    try:
        if settings.num_blocks > len(stored):
            raise ValueError(f"{settings.num_blocks} blocks, but {len(stored)} tensors")
        table = _checked_table(described, stored, file)
        with skipped_initialization():
            model = GPT(settings)
        ours = model.state_dict(keep_vars=True)
        for tensor in table:
            _fill(ours[tensor.name], tensor, stored, file)
    except UserError:
        raise
    except READ_TENSOR_ERRORS as error:
        reason = in_one_line(error)
        raise UserError(
            f"{folder}: the weights do not fit {values.path.name}: {reason}; get the folder again"
        ) from None
    return model.eval()


def _checked_table(
    described: Described, stored: Mapping[str, str], file: TensorFile
) -> list[Tensor]:
    """Raises: ValueError for tensors that are missing, additional, or of another shape."""
    _, family, values, settings = described
    table = list(family.tensors(values, settings))
    if not settings.tie_weights:
        table.append(Tensor(_HEAD, (_HEAD,)))
    elif _HEAD in stored:
        _check_tied(stored, file, family.embedding)
    expected = dict.fromkeys(name for tensor in table for name in tensor.names)
    if missing := next((name for name in expected if name not in stored), None):
        raise ValueError(f"tensor {missing} is missing")
    known = {*expected, _HEAD}
    extra = (name for name in stored if name not in known and not re.fullmatch(family.unused, name))
    if name := next(extra, None):
        raise ValueError(f"tensor {stored[name]} is not expected")
    blueprint = _blueprint(settings)
    for tensor in table:
        for name, shape in zip(tensor.names, _shapes(tensor, blueprint), strict=False):
            found = file.shapes[stored[name]]
            if found != shape:
                raise ValueError(f"tensor {stored[name]} has shape {found}, not {shape}")
    return table


@torch.no_grad()
def their_tensors(model: SequenceModel, fit: Fitted) -> dict[str, torch.Tensor]:
    """The tensors of a folder that `loaded_model` reads as this model's; a tied head is left out.

    Biases that our model lacks are zeros.
    """
    family, values, settings = fit
    ours = model.state_dict()
    blueprint = _blueprint(settings)
    found: dict[str, torch.Tensor] = {}
    for tensor in family.tensors(values, settings):
        shapes = _shapes(tensor, blueprint)
        whole = ours.get(tensor.name)
        if whole is None:
            whole = torch.zeros(blueprint.state_dict()[tensor.name].shape)
        parts = (whole.T if tensor.transposed else whole).split([shape[0] for shape in shapes])
        for name, part in zip(tensor.names, parts, strict=True):
            found[family.prefix + name] = part.clone(memory_format=torch.contiguous_format)
    return found if settings.tie_weights else found | {_HEAD: ours[_HEAD]}


def _blueprint(settings: GPTSettings) -> GPT:
    with torch.device("meta"), skipped_initialization():
        return GPT(settings)


def _shapes(tensor: Tensor, blueprint: GPT) -> list[tuple[int, ...]]:
    """Of the tensors in the file that this one of ours consists of."""
    name, _, part = tensor.name.rpartition(".")
    layer = blueprint.get_submodule(name)
    shape = tuple(getattr(layer, part).shape)
    if isinstance(layer, FusedLinear) and len(tensor.names) > 1:
        return [(size, *shape[1:]) for size in layer.part_sizes]
    return [shape[::-1] if tensor.transposed else shape]


def _check_tied(stored: Mapping[str, str], file: TensorFile, embedding: str) -> None:
    """Raises: ValueError if a file holds a head of its own for a model that shares it."""
    head = file.get(stored[_HEAD])
    if embedding in stored and not torch.equal(head, file.get(stored[embedding])):
        raise ValueError(
            f"{_HEAD} differs from {embedding}, but tie_word_embeddings is true: set it to false"
        )


@torch.no_grad()
def _fill(
    parameter: torch.Tensor, tensor: Tensor, stored: Mapping[str, str], file: TensorFile
) -> None:
    if not tensor.names:
        parameter.zero_()
        return
    parts = [file.get(stored[name]) for name in tensor.names]
    if not all(part.is_floating_point() and bool(part.isfinite().all()) for part in parts):
        raise ValueError(f"{', '.join(tensor.names)} holds numbers that are not finite")
    whole = torch.cat(parts) if len(parts) > 1 else parts[0]
    parameter.copy_(whole.T if tensor.transposed else whole)
