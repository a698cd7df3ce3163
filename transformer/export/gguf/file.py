"""Writes a GGUF file (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from gguf import (
    MODEL_ARCH,
    GGMLQuantizationType,
    GGUFValueType,
    GGUFWriter,
    LlamaFileType,
    get_tensor_name_map,
)
from numpy.typing import NDArray

from transformer.data.tokenizers.base import Tokenizer
from transformer.decoding.settings import TEMPERATURE
from transformer.export.gguf.architectures import ARCHITECTURES, Architecture, Header
from transformer.export.gguf.end_row import end_row
from transformer.export.gguf.number_formats import NUMBER_FORMATS, NumberFormat
from transformer.export.gguf.vocabulary import SUPPRESSED, Vocabulary, vocabulary_of
from transformer.models.gpt import GPT
from transformer.storage.pretrained.fitting import Fitted, fitted_class
from transformer.storage.pretrained.weights import their_tensors
from transformer.storage.saved_model import SavedModel

# A prompt is what was said, and nothing else. Without a template, other programs take one of their
# own, whose words the model has never seen (https://github.com/ollama/ollama/issues/2334).
TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
_OF_TOKENS = ("token_embd.weight", "output.weight")
# Its axis of the feed-forward's width.
_FEEDFORWARD = {"ffn_gate.": 0, "ffn_up.": 0, "ffn_down.weight": 1}
_ALWAYS_FLOAT32 = ("position_embd.weight", "rope_freqs.weight")


def checked(saved: SavedModel, format_name: str) -> tuple[Fitted, type[Architecture]]:
    """Raises: UserError for a model that such a file cannot hold exactly, in this format."""
    fit = fitted_class(saved.model.settings)
    architecture = ARCHITECTURES[fit.family.model_type]
    settings = fit.settings
    architecture.check(settings)
    inner = settings.num_heads * settings.head_dim
    widths = {"embedding_dim": settings.embedding_dim, "num_heads * head_dim": inner}
    NUMBER_FORMATS[format_name].check(widths)
    assert isinstance(saved.tokenizer, Tokenizer)
    vocabulary_of(saved.tokenizer)
    return fit, architecture


def write_file(saved: SavedModel, path: Path, format_name: str) -> str:
    """Raises: UserError as `checked`."""
    fit, architecture = checked(saved, format_name)
    kind = NUMBER_FORMATS[format_name]
    assert isinstance(saved.tokenizer, Tokenizer)
    vocabulary = vocabulary_of(saved.tokenizer)
    writer = GGUFWriter(path, architecture.name)
    try:
        writer.add_type("model")
        writer.add_file_type(LlamaFileType[kind.file_type_name])
        writer.add_quantization_version(2)  # of the layout of q8_0's blocks
        assert fit.settings.feedforward_dim is not None  # its default is filled in
        width = kind.padded(fit.settings.feedforward_dim)
        _add_header(writer, architecture.name, architecture.header(fit.settings, width))
        _add_tokenizer(writer, vocabulary)
        for name, array in _arrays(saved, fit, architecture, vocabulary):
            _add_array(writer, name, _widened(array, name, width), kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()
    number = saved.model.num_parameters
    return f"a {architecture.name} with {number:,} parameters in {kind.name}"


def _add_header(writer: GGUFWriter, architecture_name: str, header: Header) -> None:
    for name, value in header.items():
        kind = GGUFValueType.FLOAT32 if isinstance(value, float) else GGUFValueType.UINT32
        writer.add_key_value(f"{architecture_name}.{name}", value, kind)
    # As generate.py writes by default.
    writer.add_sampling_temp(TEMPERATURE)
    writer.add_sampling_top_k(0)
    writer.add_sampling_top_p(1.0)
    writer.add_sampling_min_p(0.0)


def _add_tokenizer(writer: GGUFWriter, vocabulary: Vocabulary) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(vocabulary.split)
    writer.add_token_list(vocabulary.names)
    writer.add_token_types(vocabulary.kinds)
    # llama.cpp refuses a file without merges. This one never comes up: it joins no letters.
    end = vocabulary.names[vocabulary.end]
    writer.add_token_merges(vocabulary.merges or [f"{end} {end}"])
    writer.add_bos_token_id(vocabulary.end)
    writer.add_eos_token_id(vocabulary.end)
    writer.add_pad_token_id(vocabulary.end)
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)
    if vocabulary.added:
        writer.add_array(SUPPRESSED, [vocabulary.end])
    writer.add_chat_template(TEMPLATE)


def _arrays(
    saved: SavedModel, fit: Fitted, architecture: type[Architecture], vocabulary: Vocabulary
) -> Iterator[tuple[str, NDArray[Any]]]:
    """Each tensor under llama.cpp's name, with a row for the token that was added."""
    assert isinstance(saved.model, GPT)
    names = get_tensor_name_map(MODEL_ARCH[architecture.name.upper()], fit.settings.num_blocks)
    rows = [end_row(saved.model)[None].numpy()] if vocabulary.added else []
    for theirs, tensor in their_tensors(saved.model, fit).items():
        name = names.get_name(theirs, try_suffixes=(".weight", ".bias"))
        assert name is not None, theirs
        array = architecture.array(theirs, tensor.float().numpy(), fit.settings)
        yield name, np.vstack([array, *rows]) if name in _OF_TOKENS else array
    yield from architecture.more(fit.settings)


def _widened(array: NDArray[Any], name: str, width: int) -> NDArray[Any]:
    """With zeros up to this width of the feed-forward, which change nothing that is computed."""
    axis = next((axis for part, axis in _FEEDFORWARD.items() if part in name), None)
    if axis is None:
        return array
    more = [(0, width - size if place == axis else 0) for place, size in enumerate(array.shape)]
    return np.pad(array, more)


def _add_array(
    writer: GGUFWriter, name: str, array: NDArray[Any], kind: type[NumberFormat]
) -> None:
    if array.ndim == 1 or name in _ALWAYS_FLOAT32:
        writer.add_tensor(name, array)
        return
    writer.add_tensor(name, kind.stored(array), raw_dtype=GGMLQuantizationType[kind.type_name])
