"""The table of classes that are read: every `PretrainedFamily` in this folder. No torch."""

from transformer.storage.pretrained import families
from transformer.storage.pretrained.families.base import PretrainedFamily
from transformer.storage.pretrained.values import Values
from transformer.system.errors import UserError
from transformer.system.registry import classes_in

FAMILIES: dict[str, type[PretrainedFamily]] = {
    kind.name: kind for kind in classes_in(families, PretrainedFamily)
}


def family_of(values: Values) -> type[PretrainedFamily]:
    """Raises: UserError for a class that is not read (the text lists those that are)."""
    named = values.get("architectures", [])
    name = named[0] if isinstance(named, list) and len(named) == 1 else None
    if not isinstance(name, str) or name not in FAMILIES:
        shown = "names no class" if name is None else f"is a {str(name)[:80]}"
        raise UserError(
            f"{values.path}: {shown}, which is not read: known are {', '.join(FAMILIES)}; "
            "use a model of one of these"
        )
    values.refuse("quantization_config", None)
    return FAMILIES[name]
