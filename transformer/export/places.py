"""Where an export goes: a file or a folder, written whole or not at all. Imports no torch."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from os.path import exists, isdir, lexists
from pathlib import Path

from transformer.system.errors import UserError
from transformer.system.files import is_special, replacing, replacing_folder


class Place(ABC):
    """What is there already is replaced with `force` alone."""

    def __init__(self, path: str | Path, *, force: bool) -> None:
        self.path = Path(path)
        if self.path.name in ("", ".."):  # `.`, whose parent is not the folder above it
            self.path = self.path.resolve()
        self.force = force

    @abstractmethod
    def check_replaceable(self) -> None:
        """Raises: UserError for something at the path that an export does not replace."""

    @abstractmethod
    def replacing(self) -> AbstractContextManager[Path]:
        """Gives a temporary place, which becomes the path after the `with` block."""

    @contextmanager
    def writing(self) -> Iterator[Path]:
        """As `replacing`. Raises: UserError where nothing can be written."""
        with ExitStack() as stack:
            try:
                temporary = stack.enter_context(self.replacing())
            except OSError as error:
                raise UserError(
                    f"{self.path}: cannot be written ({error.strerror}): give another `out`"
                ) from None
            yield temporary

    def check(self) -> None:
        """Raises: UserError for a path that exists, or where nothing can be written."""
        if lexists(self.path):
            self.check_replaceable()
            if not self.force:
                raise UserError(
                    f"{self.path} exists: give another `out`, or `force=True` to replace it"
                )
        parents = self.path.absolute().parents
        parent = next(path for path in parents if exists(path))
        if not isdir(parent):
            raise UserError(f"{self.path}: {parent} is a file, not a folder: give another `out`")
        if not os.access(parent, os.W_OK):
            raise UserError(f"{self.path}: cannot write in {parent}: give another `out`")


class FilePlace(Place):
    def check(self) -> None:
        if is_special(self.path):
            raise UserError(
                f"{self.path}: a file cannot take the place of a device or pipe: give another `out`"
            )
        super().check()

    def check_replaceable(self) -> None:
        if isdir(self.path):
            raise UserError(f"{self.path} is a folder: `out` must be a file; give another")

    def replacing(self) -> AbstractContextManager[Path]:
        return replacing(self.path)


class FolderPlace(Place):
    """A folder with these files, the first of which tells what it is.

    A folder with other files in it, or without the first, is not replaced unless it is empty.
    """

    names: tuple[str, ...] = ()

    def check_replaceable(self) -> None:
        if not isdir(self.path):
            raise UserError(f"{self.path} is a file: `out` must be a folder; give another")
        found = sorted(os.listdir(self.path))
        others = [name for name in found if name not in self.names]
        if others or (found and self.names[0] not in found):
            raise UserError(
                f"{self.path} holds {(others or found)[0]} and is no folder of an export, so it is "
                "not replaced: give another `out`"
            )

    def replacing(self) -> AbstractContextManager[Path]:
        return replacing_folder(self.path)
