"""What is asked of a format in which models are exported. Imports no torch."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from transformer.export.places import Place
from transformer.system.packages import installed

if TYPE_CHECKING:
    from transformer.export.reloaded import Reloaded
    from transformer.storage.saved_model import SavedModel

WAY_OUT = "pip install -r requirements-export.txt"


class Format(ABC):
    """The `name` of a subclass in this folder is a value of `--to`.

    It gets the flags of export.py, an `ExportOptions`; those of its own are fields there with
    `only_to`. What needs torch is imported in the methods that take a `saved` model.
    """

    name: ClassVar[str]
    place: ClassVar[type[Place]]  # a file or a folder
    packages: ClassVar[tuple[str, ...]] = ()  # that writing needs
    number_formats: ClassVar[tuple[str, ...]] = ()  # values of `--format`, the default first
    program: ClassVar[str]  # the package that loads what was written
    way_out: ClassVar[str] = WAY_OUT  # how to install it

    def __init__(self, options: Any) -> None:
        self.options = options

    def version(self) -> str | None:
        """That of `program`; None if it is not installed."""
        return installed(self.program)

    @abstractmethod
    def check(self, saved: "SavedModel") -> None:
        """Raises: UserError for a model that the format cannot hold exactly."""

    @abstractmethod
    def write(self, saved: "SavedModel", path: Path) -> str:
        """Writes into a temporary folder or over an empty file; says what it is in a few words."""

    @abstractmethod
    def reload(self, path: Path) -> "Reloaded":
        """What was written, as `program` loads it."""

    def compare(self, saved: "SavedModel", path: Path, version: str) -> str:
        """Compares with what `program` computes, and says the figures. It is installed.

        Raises: UserError where they differ by more than rounding.
        """
        from transformer.export.comparison import compare

        return compare(saved, self.reload(path), f"{self.program} {version}").text
