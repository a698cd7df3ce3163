"""The JSON texts beside the weights in a model's file, and their checksum."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

FORMAT_VERSION = "2"
CHECKSUM = "sha256"  # the key of the checksum among the texts
METADATA_KEY = "transformer"
ADAPTER = "adapter"  # the part that a file has which holds an adapter alone
SNAPSHOT = "snapshot"  # the part that a file has which is a snapshot of a run
_MODEL_PREFIX = "model."  # keys in a .ckpt start with the name of LanguageModule's attribute


def encode_metadata(metadata: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Each part (architecture, tokenizer, config, corpus, results) as JSON text.

    One more entry is the checksum of these texts and of the tensors.
    """
    texts = {name: json.dumps(part, ensure_ascii=False) for name, part in metadata.items()}
    texts["format_version"] = FORMAT_VERSION
    return texts | {CHECKSUM: checksum(texts, tensors)}


def checksum(texts: Mapping[str, str], tensors: Mapping[str, Tensor]) -> str:
    """sha256 over names and contents, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(texts):
        digest.update(json.dumps([name, texts[name]]).encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def take_checksum(texts: dict[str, str], tensors: Mapping[str, Tensor]) -> None:
    """Removes the checksum from the texts. Raises: ValueError if it is not that of the rest."""
    if texts.pop(CHECKSUM, None) != checksum(texts, tensors):
        raise ValueError("its content does not match its checksum")


def model_tensors(weights: Mapping[Any, Any]) -> dict[str, Tensor]:
    """The model's tensors in a LightningModule's state, under their names in the model."""
    return {
        name.removeprefix(_MODEL_PREFIX): tensor
        for name, tensor in weights.items()
        if str(name).startswith(_MODEL_PREFIX) and isinstance(tensor, Tensor)
    }


def distinct_tensors(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Each tensor under one name: a tied matrix has two."""
    tensors: dict[int, tuple[str, Tensor]] = {}
    for name, tensor in weights.items():
        tensors.setdefault(tensor.data_ptr(), (name, tensor.detach()))
    return dict(tensors.values())
