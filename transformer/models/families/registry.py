"""The table of families: every `Family` class in this folder. Imports no torch."""

from collections.abc import Mapping
from typing import Any

from transformer.models import families
from transformer.models.families.base import Family
from transformer.system.registry import classes_in

DEFAULT = "gpt"

_FOUND: dict[str, type[Family]] = {kind.name: kind for kind in classes_in(families, Family)}
# The default family comes first, because it sets the defaults of keys that families share.
FAMILIES = {DEFAULT: _FOUND[DEFAULT], **_FOUND}


def settings_of(model: str, arguments: Mapping[str, Any]) -> Family:
    """Raises: ValueError for an unknown model (the text lists the known models), and for settings
    that contradict each other; TypeError for an unknown or missing argument.
    """
    if model not in list(FAMILIES):
        raise ValueError(f"model must be one of {', '.join(FAMILIES)}, got {model!r}")
    return FAMILIES[model](**arguments)


def completed(architecture: Mapping[str, Any]) -> dict[str, Any]:
    """The `architecture` from a model file, with the fields that an older file does not have."""
    family = FAMILIES.get(architecture["model"], Family)
    return {**family.in_older_files, **architecture}
