"""Files of llama.cpp, which Ollama and LM Studio read too. Imports no torch."""

from pathlib import Path
from typing import TYPE_CHECKING

from transformer.export.formats.base import Format
from transformer.export.gguf.number_formats import NUMBER_FORMATS
from transformer.export.places import FilePlace

if TYPE_CHECKING:
    from transformer.export.reloaded import Reloaded
    from transformer.storage.saved_model import SavedModel


class Gguf(Format):
    name = "gguf"
    place = FilePlace
    packages = ("gguf",)
    number_formats = tuple(NUMBER_FORMATS)
    program = "xllamacpp"
    way_out = "pip install xllamacpp"

    def check(self, saved: "SavedModel") -> None:
        from transformer.export.gguf.file import checked

        checked(saved, self.options.number_format)

    def write(self, saved: "SavedModel", path: Path) -> str:
        from transformer.export.gguf.file import write_file

        return write_file(saved, path, self.options.number_format)

    def reload(self, path: Path) -> "Reloaded":
        from transformer.export.gguf.reloaded import ReloadedFile

        return ReloadedFile(path)
