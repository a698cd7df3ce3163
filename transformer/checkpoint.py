"""One safe file that holds a model: weights, architecture, tokenizer, config. No Lightning.

`model.safetensors` holds the weights alone with JSON texts as metadata; a `.ckpt` of a run holds
the same metadata under one key. Nothing in either can run code.
"""

import hashlib
import json
import pickle
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from transformer.data.pair_tokenizers import PairTokenizer
from transformer.data.tokenizers import CharacterTokenizer, tokenizer_from_state
from transformer.errors import UserError
from transformer.files import read_bytes, replacing
from transformer.models import SequenceModel, build_model
from transformer.models.build import completed
from transformer.models.layers import skipped_initialization

FORMAT_VERSION = "2"
CHECKSUM = "sha256"  # its name among the texts
METADATA_KEY = "transformer"
# Position tables are not in the file to be compared with:
_LONGEST_BLOCK = 2**20
_LARGEST_TABLE = 2**27  # numbers; half a GiB in float32
_READ_ERRORS = (
    *(RuntimeError, EOFError, OSError, KeyError, ValueError, TypeError, AttributeError),
    *(IndexError, AssertionError, NotImplementedError, zipfile.BadZipFile),
)
_MODEL_PREFIX = "model."  # LanguageModule's attribute, which starts each key of a .ckpt


class NoTokenizerError(UserError):
    """Whoever trains in Python may leave the metadata out."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path}: no tokenizer is in it, so it cannot read or write text: train with "
            "LanguageModule(..., metadata={'tokenizer': data.tokenizer_state}), or save this one "
            "again: module = LanguageModule.load_from_checkpoint(path), then "
            "transformer.save_model('model.safetensors', module.model, module.metadata | "
            "{'tokenizer': data.tokenizer_state})"
        )


@dataclass(frozen=True)
class SavedModel:
    """A model ready to use (in eval mode), and what its file says of it."""

    path: Path
    model: SequenceModel
    tokenizer: CharacterTokenizer | PairTokenizer
    architecture: dict[str, Any]
    config: dict[str, Any]
    corpus: dict[str, Any]
    results: dict[str, Any]


def encode_metadata(metadata: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Each part as JSON text: architecture, tokenizer, config, corpus, results.

    With a checksum of these texts and of the tensors that stand beside them.
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


def save_model(path: str | Path, model: SequenceModel, metadata: Mapping[str, Any]) -> None:
    """Weights (a tied matrix once) and metadata into a .safetensors file, whole or not at all."""
    save_weights(path, model.state_dict(), metadata)


def save_weights(
    path: str | Path, weights: Mapping[str, Tensor], metadata: Mapping[str, Any]
) -> None:
    """The same of weights that no model holds."""
    tensors: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in weights.items():
        if tensor.data_ptr() not in seen:
            seen.add(tensor.data_ptr())
            tensors[name] = tensor.detach().contiguous()
    with replacing(path) as temporary:
        try:
            save_file(tensors, temporary, encode_metadata(metadata, tensors))
        except SafetensorError as error:  # as of a full disk
            raise OSError(f"{path}: {error}") from None


def load_model(path: str | Path) -> SavedModel:
    """The model of a `.safetensors` or `.ckpt` file, on the CPU.

    Raises: UserError for a file that is missing, truncated, made by something else, of a newer
    format, carries code, or whose tensors are not those of its architecture. NoTokenizerError for
    a file that is whole and has none.
    """
    path = Path(path)
    _check_is_file(path)
    tensors, texts = _read_ckpt(path) if path.suffix == ".ckpt" else _read_safetensors(path)
    if "format_version" not in texts:
        raise UserError(f"{path}: not a model of this program: it names no format_version")
    if texts["format_version"] != FORMAT_VERSION:
        raise UserError(
            f"{path}: format_version {texts['format_version']!r}, and this program reads "
            f"{FORMAT_VERSION!r}: use a model that this program trained, or a newer program"
        )
    try:
        expected = texts.pop(CHECKSUM, None)
        if expected != checksum(texts, tensors):
            raise ValueError("its content does not match its checksum")
        parts = {name: json.loads(t) for name, t in texts.items() if name != "format_version"}
        if "tokenizer" not in parts:
            raise NoTokenizerError(path)
        tokenizer = tokenizer_from_state(parts["tokenizer"])
        architecture = completed(parts["architecture"])
        for name, size in tokenizer.sizes.items():
            if size != architecture[name]:
                raise ValueError(f"{name}={architecture[name]}, and a tokenizer of {size} tokens")
        model = _build(architecture, tensors)
        others = {name: dict(parts.get(name, {})) for name in ("config", "corpus", "results")}
    except NoTokenizerError:
        raise
    except (*_READ_ERRORS, OverflowError) as error:  # RuntimeError: too deeply nested, too
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"{path}: damaged or not a model of this program: {reason}") from None
    return SavedModel(path, model, tokenizer, architecture, **others)


def _check_is_file(path: Path) -> None:
    """Raises: UserError for a file that is missing, a folder or unreadable."""
    if not path.is_file():
        read_bytes(path, "checkpoint")
    if path.stat().st_size == 0:
        raise UserError(f"{path}: the file is empty; name another checkpoint")


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            names = file.keys()
            return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path}: truncated or not a model file ({error})") from None


def _read_ckpt(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    content = read_training_state(path)
    if not isinstance(content.get(METADATA_KEY), dict):
        raise UserError(
            f"{path}: not a checkpoint of this program: it has no {METADATA_KEY!r} part"
        )
    weights = content.get("state_dict")
    tensors = model_tensors(weights if isinstance(weights, dict) else {})
    _check_storage(path, tensors.values())
    return tensors, dict(content[METADATA_KEY])


def read_training_state(path: Path) -> dict[str, Any]:
    """All that a run's .ckpt holds, on the CPU: plain numbers, texts and tensors.

    Raises: UserError for a file that is damaged, by the checksums of its parts, or carries code.
    """
    if not zipfile.is_zipfile(path):
        raise UserError(f"{path}: truncated or not a checkpoint; name another")
    try:
        with zipfile.ZipFile(path) as file:
            if any(part.compress_type != zipfile.ZIP_STORED for part in file.infolist()):
                raise UserError(f"{path}: not a checkpoint of this program: its parts are packed")
            if damaged := file.testzip():  # torch.load compares no checksums
                raise UserError(f"{path}: damaged: {damaged} does not match its checksum")
        # Mapped, so that of several processes none holds what it does not look at.
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError:
        raise UserError(
            f"{path}: holds more than plain numbers and texts, so it could run code: not loaded"
        ) from None
    except UserError:
        raise
    except _READ_ERRORS as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path}: truncated or not a checkpoint ({reason})") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: not a checkpoint of this program: it holds no names")
    return content


def read_architecture(path: Path) -> dict[str, Any]:
    """Of the model in a run's .ckpt.

    Raises: UserError for a file that is damaged.
    """
    state = read_training_state(path)
    try:
        return completed(json.loads(state[METADATA_KEY]["architecture"]))
    except _READ_ERRORS as error:
        raise UserError(f"{path}: damaged: it has no architecture ({error})") from None


def model_tensors(weights: Mapping[Any, Any]) -> dict[str, Tensor]:
    """Those of the model in a LightningModule's state, by the names that they have in the model."""
    return {
        name.removeprefix(_MODEL_PREFIX): tensor
        for name, tensor in weights.items()
        if str(name).startswith(_MODEL_PREFIX) and isinstance(tensor, Tensor)
    }


def _check_storage(path: Path, tensors: Iterable[Tensor]) -> None:
    """Raises: UserError for tensors that are larger than what the file holds of them.

    A few numbers may be a tensor of any size, by strides of 0. A tied matrix is there twice.
    """
    num_bytes = [tensor.numel() * tensor.element_size() for tensor in tensors]
    if sum(num_bytes) > 2 * path.stat().st_size:
        raise UserError(f"{path}: damaged: its tensors are larger than the file")


def _build(architecture: dict[str, Any], tensors: dict[str, Tensor]) -> SequenceModel:
    """Shapes are compared on the meta device first, so that a wrong file costs no memory."""
    _check_sizes(architecture, len(tensors))
    with torch.device("meta"), skipped_initialization():
        blueprint = build_model(**architecture)
    expected = {name: tensor.shape for name, tensor in blueprint.state_dict().items()}
    for name, other in _shared_names(blueprint):
        if name not in tensors and other in tensors:
            tensors[name] = tensors[other]
    for name in (*expected, *sorted(tensors)):
        if (name in expected) != (name in tensors):
            known = "missing" if name in expected else "not expected"
            raise ValueError(f"tensor {name} is {known}")
    for name, shape in expected.items():
        if tensors[name].shape != shape:
            raise ValueError(f"{name} has shape {tuple(tensors[name].shape)}, not {tuple(shape)}")
        if not tensors[name].isfinite().all():
            raise ValueError(f"{name} holds numbers that are not finite")
    with skipped_initialization():
        model = build_model(**architecture)
    model.load_state_dict(tensors)
    return model.eval()


def _shared_names(model: SequenceModel) -> list[tuple[str, str]]:
    """Each name of a parameter that has another name too, with every other."""
    names: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    return [(a, b) for group in names.values() for a in group for b in group if a != b]


def _check_sizes(architecture: dict[str, Any], num_tensors: int) -> None:
    """Refuses what would cost memory or time even before shapes are compared."""
    block_size, width = architecture["block_size"], architecture.get("embedding_dim", 1)
    if block_size > _LONGEST_BLOCK or block_size * width > _LARGEST_TABLE:
        raise ValueError(f"block_size={block_size} is too large")
    if (num_blocks := architecture.get("num_blocks", 0)) > num_tensors:
        raise ValueError(f"num_blocks={num_blocks}, but {num_tensors} tensors")
