"""Finds the classes of a folder, so that a new class needs only a new file."""

import inspect
from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import Any


def classes_in(package: ModuleType, base: type) -> Iterator[Any]:
    """Each subclass of `base` with its own `name` that a file directly in the package defines.

    Files are imported in the order of their names.
    """
    for found in iter_modules(package.__path__):
        module = import_module(f"{package.__name__}.{found.name}")
        for kind in vars(module).values():
            defined = inspect.isclass(kind) and kind.__module__ == module.__name__
            if defined and base in kind.__mro__ and "name" in vars(kind):
                yield kind
