"""Writes a model as graphs. Its tokenizer is in their metadata and, in a folder, beside them."""

import json
from pathlib import Path

from transformer.export.onnx.graph import OPSET
from transformer.export.onnx.kinds import kind_of
from transformer.export.onnx.names import ABOUT, MODEL, is_one_file
from transformer.storage.saved_model import SavedModel
from transformer.system.errors import UserError
from transformer.system.files import write_text

_MOST_BYTES = 2**31 - 1  # of a file of protocol buffers
_OTHERS = 2**24  # bytes for all but the parameters


def check(saved: SavedModel, out: str) -> None:
    """Raises: UserError for a model that the graphs or their files cannot hold."""
    number = saved.model.num_parameters
    if 4 * number + _OTHERS > _MOST_BYTES:
        raise UserError(
            f"{saved.path}: {number:,} parameters are more than the 2 GB of an "
            "ONNX file: give `to=huggingface`"
        )
    kind = kind_of(saved.model)
    if is_one_file(out) and MODEL not in kind.graphs:
        raise UserError(
            f"{saved.path}: an {saved.architecture['model']} is two graphs, so `out` must be a "
            f"folder, got the file {out}: leave out .onnx"
        )
    kind.tokenizers(saved)


def write(saved: SavedModel, path: Path) -> str:
    """Into a folder, or over an empty file; says in a few words what was written."""
    kind = kind_of(saved.model)
    about = {"model": saved.architecture["model"], "block_size": saved.model.block_size}
    about |= kind.about(saved)
    tokenizers = kind.tokenizers(saved)
    metadata = {name: str(value) for name, value in about.items()} | tokenizers
    for name, make in kind.graphs.items():
        content = make(saved.model).model(metadata).SerializeToString(deterministic=True)
        (path / name if path.is_dir() else path).write_bytes(content)
    if path.is_dir():
        write_text(path / ABOUT, json.dumps(about, indent=2) + "\n")
        for name, text in tokenizers.items():
            write_text(path / name, text + "\n")
    what = " and ".join(kind.graphs) if path.is_dir() else "a graph"
    number = saved.model.num_parameters
    return f"{what} of opset {OPSET} with {number:,} parameters in float32"
