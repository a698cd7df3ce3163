"""The models: token ids in, logits out. They know nothing of files, texts, Lightning or config.

A name is loaded at its first use (PEP 562), so importing one module does not import the others.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformer.models.base import SequenceModel
    from transformer.models.build import build_model

_HOMES = {"SequenceModel": "base", "build_model": "build"}

__all__ = ["SequenceModel", "build_model"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
