"""Saves and loads models: weights, architecture, tokenizer and config. Needs no Lightning.

`model.safetensors` holds the weights alone with JSON texts as metadata; a `.ckpt` of a run holds
the same metadata under one key. Loading either file runs no code from it.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from transformer.data.tokenizers.base import Tokenizer
from transformer.data.tokenizers.pairs import PairTokenizer
from transformer.data.tokenizers.registry import tokenizer_from_state
from transformer.models import build_model
from transformer.models.base import SequenceModel
from transformer.models.families.registry import completed
from transformer.models.parts.layers import skipped_initialization
from transformer.storage.adapter_file import base_of, with_adapter
from transformer.storage.metadata import (
    ADAPTER,
    FORMAT_VERSION,
    METADATA_KEY,
    SNAPSHOT,
    distinct_tensors,
    encode_metadata,
    model_tensors,
    take_checksum,
)
from transformer.storage.pretrained.loading import load_pretrained
from transformer.storage.pretrained.places import CONFIG, is_pretrained
from transformer.storage.saved_model import SavedModel as SavedModel
from transformer.storage.tensor_file import (
    check_names,
    check_tensor,
    read_tensors,
    write_tensors,
)
from transformer.storage.training_state import READ_ERRORS, read_training_state, read_with_metadata
from transformer.system.errors import UserError, in_one_line
from transformer.system.files import read_bytes, replacing

# Limits for position tables: the file has no tables with which their sizes could be compared.
_LONGEST_BLOCK = 2**20
_LARGEST_TABLE = 2**27  # numbers; half a GiB in float32

_NO_TOKENIZER = (
    "it has no tokenizer, so it cannot read or write text: train with "
    "LanguageModule(..., metadata={'tokenizer': data.tokenizer_state}), or save this one again: "
    "module = LanguageModule.load_from_checkpoint(path), then transformer.save_model("
    "'model.safetensors', module.model, module.metadata | {'tokenizer': data.tokenizer_state})"
)

_IS_SNAPSHOT = (
    "a snapshot of a run, for the pages that export.py writes, and no whole model: name the run, "
    "or its model.safetensors"
)


def save_model(path: str | Path, model: SequenceModel, metadata: Mapping[str, Any]) -> None:
    """Writes a .safetensors file, whole or not at all; a tied matrix is stored once."""
    save_weights(path, distinct_tensors(model.state_dict()), metadata)


def save_weights(
    path: str | Path, weights: Mapping[str, Tensor], metadata: Mapping[str, Any]
) -> None:
    """`weights` has each tensor once: see `distinct_tensors`."""
    with replacing(path) as temporary:
        write_tensors(temporary, weights, encode_metadata(metadata, weights))


def load_model(path: str | Path) -> SavedModel:
    """The model of a `.safetensors` or `.ckpt` file, on the CPU.

    A folder is read as a model of another program: see `storage/pretrained/folder.py`.

    Raises: UserError if the file is missing, truncated, from another program, of another format,
    contains code, has tensors that do not fit its architecture, or has no tokenizer.
    """
    path = Path(path)
    return load_pretrained(path) if is_pretrained(path) else _load_file(path)


def _load_file(path: Path) -> SavedModel:
    _check_is_file(path)
    tensors, texts = _read_ckpt(path) if path.suffix == ".ckpt" else _read_safetensors(path)
    _check_version(path, texts)
    try:
        take_checksum(texts, tensors)
        parts = {name: json.loads(t) for name, t in texts.items() if name != "format_version"}
        if SNAPSHOT in parts:
            raise UserError(f"{path}: {_IS_SNAPSHOT}")
        if "tokenizer" not in parts:
            raise UserError(f"{path}: {_NO_TOKENIZER}")
        tokenizer = tokenizer_from_state(parts["tokenizer"])
        architecture = completed(parts["architecture"])
        for name, size in tokenizer.sizes.items():
            if size != architecture[name]:
                raise ValueError(f"{name}={architecture[name]}, but the tokenizer has {size}")
        if ADAPTER in parts:
            base = load_model(base_of(parts[ADAPTER], path))
            model = with_adapter(base, parts[ADAPTER], architecture, tensors, path)
        else:
            model = _build(architecture, tensors)
        others = {name: dict(parts.get(name, {})) for name in ("config", "corpus", "results")}
    except UserError:
        raise
    except (*READ_ERRORS, OverflowError) as error:  # RuntimeError: also too deep nesting
        reason = in_one_line(error)
        raise UserError(f"{path}: damaged or not a model of this program: {reason}") from None
    return SavedModel(path, model, tokenizer, architecture, **others)


def _check_version(path: Path, texts: Mapping[str, str]) -> None:
    if "format_version" not in texts:
        raise UserError(
            f"{path}: not a model of this program: it has no format_version; for a model of "
            f"another program give its folder, with a {CONFIG}"
        )
    if texts["format_version"] != FORMAT_VERSION:
        raise UserError(
            f"{path}: format_version {texts['format_version']!r}, but this program reads "
            f"{FORMAT_VERSION!r}: use a model that this program trained, or a newer program"
        )


def _check_is_file(path: Path) -> None:
    """Raises: UserError for a file that is missing, a folder or unreadable."""
    if not path.is_file():
        read_bytes(path, "checkpoint")
    if path.stat().st_size == 0:
        raise UserError(f"{path}: the file is empty; name another checkpoint")


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        return read_tensors(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path}: truncated or not a model file ({error})") from None


def _read_ckpt(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    content, texts = read_with_metadata(path)
    weights = content.get("state_dict")
    tensors = model_tensors(weights if isinstance(weights, dict) else {})
    # With strides of 0, a few numbers can be a tensor of any size. A tied matrix counts twice here.
    num_bytes = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    if num_bytes > 2 * path.stat().st_size:
        raise UserError(f"{path}: damaged: its tensors are larger than the file")
    return {name: tensor.clone() for name, tensor in tensors.items()}, texts  # no longer mapped


@contextmanager
def _read_or_damaged(path: Path, problem: str) -> Iterator[None]:
    """Raises: UserError with the problem if what is read in this block is not there or wrong."""
    try:
        yield
    except READ_ERRORS as error:
        raise UserError(f"{path}: damaged: {problem} ({error})") from None


def read_tokenizer(path: Path) -> Tokenizer | PairTokenizer:
    """The tokenizer in a run's .ckpt. Raises: UserError if it is damaged."""
    _, texts = read_with_metadata(path)
    with _read_or_damaged(path, "it has no tokenizer"):
        return tokenizer_from_state(json.loads(texts["tokenizer"]))


def read_corpus_facts(path: Path) -> dict[str, Any]:
    """What a run's .ckpt says about its corpus. Raises: UserError if it is damaged."""
    _, texts = read_with_metadata(path)
    with _read_or_damaged(path, "its corpus is not described"):
        return dict(json.loads(texts.get("corpus", "{}")))


def read_adapter(path: Path) -> dict[str, Any]:
    """What a run's .ckpt says about its adapter. Raises: UserError if it has none."""
    _, texts = read_with_metadata(path)
    with _read_or_damaged(path, "it has no adapter"):
        return dict(json.loads(texts[ADAPTER]))


def read_architecture(path: Path) -> dict[str, Any]:
    """The architecture of the model in a run's .ckpt. Raises: UserError if it is damaged."""
    state = read_training_state(path)
    with _read_or_damaged(path, "it has no architecture"):
        return completed(json.loads(state[METADATA_KEY]["architecture"]))


def _build(architecture: dict[str, Any], tensors: dict[str, Tensor]) -> SequenceModel:
    """Compares shapes on the meta device first, so that a wrong file costs no memory."""
    _check_sizes(architecture, len(tensors))
    with torch.device("meta"), skipped_initialization():
        blueprint = build_model(**architecture)
    expected = {name: tensor.shape for name, tensor in blueprint.state_dict().items()}
    named = list(blueprint.named_parameters(remove_duplicate=False))
    stored = {id(parameter): tensors[name] for name, parameter in named if name in tensors}
    for name, parameter in named:  # a tied matrix is stored under one of its names
        if id(parameter) in stored:
            tensors.setdefault(name, stored[id(parameter)])
    check_names(expected, tensors)
    for name, shape in expected.items():
        check_tensor(name, tensors[name], shape)
    with skipped_initialization():
        model = build_model(**architecture)
    for name, tensor in model.state_dict(keep_vars=True).items():
        tensor.data = tensors[name].to(tensor)
    return model.eval()


def _check_sizes(architecture: dict[str, Any], num_tensors: int) -> None:
    """Raises: ValueError for sizes that would cost memory or time before shapes are compared."""
    block_size, width = architecture["block_size"], architecture.get("embedding_dim", 1)
    if architecture.get("positions") == "rotary":  # its table is as wide as a head
        width = architecture.get("head_dim") or width
    if block_size > _LONGEST_BLOCK or block_size * width > _LARGEST_TABLE:
        raise ValueError(f"block_size={block_size} is too large")
    if (num_blocks := architecture.get("num_blocks", 0)) > num_tensors:
        raise ValueError(f"num_blocks={num_blocks}, but {num_tensors} tensors")
