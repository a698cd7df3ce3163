"""Folders that `from_pretrained` of Hugging Face's transformers loads. Imports no torch."""

from pathlib import Path
from typing import TYPE_CHECKING

from transformer.export.formats.base import Format
from transformer.export.places import FolderPlace
from transformer.storage.pretrained.places import (
    CARD,
    CONFIG,
    GENERATION_CONFIG,
    TOKENIZER,
    TOKENIZER_CONFIG,
    WEIGHTS,
)

if TYPE_CHECKING:
    from transformer.export.reloaded import Reloaded
    from transformer.storage.saved_model import SavedModel


class PretrainedPlace(FolderPlace):
    names = (CONFIG, GENERATION_CONFIG, WEIGHTS, TOKENIZER, TOKENIZER_CONFIG, CARD)


class HuggingFace(Format):
    name = "huggingface"
    place = PretrainedPlace
    program = "transformers"

    def check(self, saved: "SavedModel") -> None:
        from transformer.storage.pretrained.fitting import fitted_class

        fitted_class(saved.model.settings)

    def write(self, saved: "SavedModel", path: Path) -> str:
        from transformer.export.hugging_face.folder import write_folder

        return write_folder(saved, path, self.options)

    def reload(self, path: Path) -> "Reloaded":
        from transformer.export.hugging_face.reloaded import ReloadedFolder

        return ReloadedFolder(path)
