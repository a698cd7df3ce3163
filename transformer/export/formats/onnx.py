"""Graphs that onnxruntime runs, in Python, in a browser and elsewhere. Imports no torch."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from transformer.export.formats.base import Format
from transformer.export.onnx.names import NAMES, is_one_file
from transformer.export.places import FilePlace, FolderPlace, Place

if TYPE_CHECKING:
    from transformer.export.reloaded import Reloaded
    from transformer.storage.saved_model import SavedModel


class OnnxFolder(FolderPlace):
    names = NAMES


class OnnxPlace(Place):
    """A file, if its name ends in .onnx, and else a folder."""

    def __init__(self, path: str | Path, *, force: bool) -> None:
        super().__init__(path, force=force)
        kind = FilePlace if is_one_file(path) else OnnxFolder
        self._place = kind(path, force=force)

    def check_replaceable(self) -> None:
        self._place.check_replaceable()

    def replacing(self) -> AbstractContextManager[Path]:
        return self._place.replacing()


class Onnx(Format):
    name = "onnx"
    place = OnnxPlace
    packages = ("onnx",)
    program = "onnxruntime"

    def check(self, saved: "SavedModel") -> None:
        from transformer.export.onnx.files import check

        check(saved, self.options.out)

    def write(self, saved: "SavedModel", path: Path) -> str:
        from transformer.export.onnx.files import write

        return write(saved, path)

    def reload(self, path: Path) -> "Reloaded":
        from transformer.export.onnx.reloaded import ReloadedGraph

        return ReloadedGraph(path)

    def compare(self, saved: "SavedModel", path: Path, version: str) -> str:
        from transformer.export.comparison import Different
        from transformer.export.onnx.kinds import kind_of
        from transformer.export.onnx.session import FailedError

        program = f"{self.program} {version}"
        try:
            return kind_of(saved.model).compare(saved, path, program)
        except FailedError as error:
            raise Different(program, f"it fails: {str(error)[:200]}") from error
