"""A .ckpt that holds an adapter alone: it names its base, and keeps a hash of its weights."""

from collections.abc import Mapping
from dataclasses import asdict
from os.path import exists
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from transformer.models import build_model
from transformer.models.growing import begin_with, grown_tensors
from transformer.models.low_rank import AdapterSettings, adapt, merge, trained_tensors
from transformer.models.parts.layers import skipped_initialization
from transformer.storage.metadata import checksum, distinct_tensors
from transformer.storage.run_folder import find_model
from transformer.storage.saved_model import SavedModel
from transformer.storage.tensor_file import check_names, check_tensor
from transformer.system.errors import UserError

_PLACES = ("base", "start_from")  # the absolute path, and the one that was given
_CHECKPOINT = ".ckpt"
_OTHERWISE = "or use the model.safetensors of the adapter's run, which needs no base"


def adapter_record(base: SavedModel, start_from: str, settings: AdapterSettings) -> dict[str, Any]:
    """What a .ckpt says about its base and its adapter.

    Raises: UserError for a base that is a checkpoint: a run may replace it.
    """
    if base.path.suffix == _CHECKPOINT:
        raise UserError(
            f"{base.path}: an adapter needs a base that stays as it is, and this is a checkpoint: "
            "give a run with a model.safetensors as start_from, or leave out lora_rank"
        )
    places = dict(zip(_PLACES, (str(base.path.absolute()), start_from), strict=True))
    return {**places, "sha256": hash_of_weights(base), **asdict(settings)}


def base_of(record: Mapping[str, Any], path: Path) -> Path:
    """Where the base of the adapter in the file `path` is.

    Raises: UserError if it is gone.
    """
    places = [str(record[place]) for place in _PLACES]
    for place in filter(exists, places):
        found = find_model(place, place)
        if found.suffix != _CHECKPOINT:
            return found
    raise UserError(
        f"{path}: holds an adapter alone, and its base is gone: {places[0]}; put it back there, "
        f"{_OTHERWISE}"
    )


def check_base(base: SavedModel, record: Mapping[str, Any], path: Path) -> None:
    """Raises: UserError if the base is not the one with which the adapter in `path` was trained."""
    if hash_of_weights(base) != record["sha256"]:
        raise UserError(
            f"{path}: holds an adapter alone, and its base has other weights now: {base.path}; "
            f"restore it, {_OTHERWISE}"
        )


def hash_of_weights(base: SavedModel) -> str:
    """Of the weights alone: a file of the same weights may be written in another way."""
    return checksum({}, distinct_tensors(base.model.state_dict()))


def settings_in(record: Mapping[str, Any]) -> AdapterSettings:
    return AdapterSettings(**{key: record[key] for key in AdapterSettings.__dataclass_fields__})


def with_adapter(
    base: SavedModel,
    record: Mapping[str, Any],
    architecture: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    path: Path,
) -> Any:
    """The merged model of an adapter, in eval mode; the base's model must not be used any longer.

    Raises: UserError for another base, ValueError for tensors that do not fit.
    """
    check_base(base, record, path)
    with skipped_initialization():
        model = build_model(**architecture)
        begin_with(model, base.model)
        adapt(model, settings_in(record), grown_tensors(architecture, base.architecture))
    fill_adapter(trained_tensors(model), tensors)
    merge(model)
    return model.eval()


@torch.no_grad()
def fill_adapter(adapter: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> None:
    """Copies tensors of a file into an adapter.

    Raises: ValueError for tensors that are missing, additional, of another shape or not finite.
    """
    check_names(adapter, tensors)
    for name, tensor in adapter.items():
        check_tensor(name, tensors[name], tensor.shape)
        tensor.copy_(tensors[name])
