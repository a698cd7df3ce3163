"""The classes of a folder: a new file in it is all that a new class needs to be known."""

import inspect
from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import Any


def classes_in(package: ModuleType, base: type) -> Iterator[Any]:
    """Each class that a file right in the package's folder defines, has a `name`, and is a `base`.

    Files are imported in the order of their names.
    """
    for found in iter_modules(package.__path__):
        module = import_module(f"{package.__name__}.{found.name}")
        for kind in vars(module).values():
            defined = inspect.isclass(kind) and kind.__module__ == module.__name__
            if defined and base in kind.__mro__ and "name" in vars(kind):
                yield kind
