"""A page that holds the model and runs it in any browser, without a network. Imports no torch."""

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from transformer.export.formats.base import Format
from transformer.export.places import FilePlace

if TYPE_CHECKING:
    from transformer.export.html.reloaded import ReloadedPage
    from transformer.storage.saved_model import SavedModel


class Html(Format):
    name = "html"
    place = FilePlace
    number_formats = ("int8", "float32")
    program = "node"
    way_out = "install Node 18 or later from nodejs.org"

    def version(self) -> str | None:
        found = shutil.which(self.program)
        if found is None:
            return None
        done = subprocess.run([found, "--version"], capture_output=True, text=True, check=False)
        return done.stdout.strip().removeprefix("v") or None

    def check(self, saved: "SavedModel") -> None:
        from transformer.export.html.file import check

        check(saved, self.options)

    def write(self, saved: "SavedModel", path: Path) -> str:
        from transformer.export.html.file import write

        return write(saved, path, self.options)

    def reload(self, path: Path) -> "ReloadedPage":
        from transformer.export.html.reloaded import ReloadedPage

        return ReloadedPage(path)

    def compare(self, saved: "SavedModel", path: Path, version: str) -> str:
        from transformer.export.html.comparison import compare_page

        program = f"{self.program} {version}"
        return compare_page(saved, self.reload(path), self.options.number_format, program)
