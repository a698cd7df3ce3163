"""Packages that only some formats need. Imports no torch."""

from importlib import import_module
from typing import Any

from transformer.system.errors import UserError

WAY_OUT = "pip install -r requirements-corpus.txt"


def needed(package: str, path: object, module: str | None = None) -> Any:
    """The module of an optional package. Raises: UserError that says how to install it."""
    try:
        return import_module(module or package)
    except ImportError:
        raise UserError(f"{path}: needs the package {package}: {WAY_OUT}") from None
