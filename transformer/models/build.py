"""A model from its name and plain arguments."""

from importlib import import_module
from typing import Any

from transformer.models.base import SequenceModel
from transformer.models.families.registry import settings_of


def build_model(model: str, **architecture: Any) -> SequenceModel:
    """The model of that name, drawn at random.

    Raises: ValueError for an unknown name, listing the known ones, and for settings that do not
    fit each other; TypeError for other arguments.
    """
    settings = settings_of(model, architecture)
    module, _, name = settings.model_class.partition(":")
    return getattr(import_module(module), name)(settings)
