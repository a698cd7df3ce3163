"""The models: token ids in, logits out. They know nothing of files, texts, Lightning or config."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from transformer.models.families.registry import settings_of

if TYPE_CHECKING:  # torch is imported with the first model
    from transformer.models.base import SequenceModel


def build_model(model: str, **architecture: Any) -> "SequenceModel":
    """Builds a model with random weights.

    Raises: ValueError for an unknown name (the text lists the known names), and for settings that
    contradict each other; TypeError for an unknown or missing argument.
    """
    settings = settings_of(model, architecture)
    module, _, name = settings.model_class.partition(":")
    return getattr(import_module(module), name)(settings)
