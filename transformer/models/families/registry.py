"""The families by name: every class of this folder that is a `Family`. No torch."""

from collections.abc import Mapping
from typing import Any

from transformer.models import families
from transformer.models.families.base import Family
from transformer.system.registry import classes_in

DEFAULT = "gpt"


def _by_name() -> dict[str, type[Family]]:
    """The default stands first: it decides the defaults of keys that several families have."""
    found = {kind.name: kind for kind in classes_in(families, Family)}
    return {DEFAULT: found[DEFAULT]} | found


FAMILIES = _by_name()


def settings_of(model: str, arguments: Mapping[str, Any]) -> Family:
    """Raises: ValueError for an unknown model, listing the known ones, and for settings that do not
    fit each other; TypeError for other arguments.
    """
    if model not in list(FAMILIES):
        raise ValueError(f"model must be one of {', '.join(FAMILIES)}, got {model!r}")
    return FAMILIES[model](**arguments)


def completed(architecture: Mapping[str, Any]) -> dict[str, Any]:
    """A model's row in a file, with the fields that are younger than the file."""
    family = FAMILIES.get(architecture["model"], Family)
    return {**family.in_older_files, **architecture}
