"""Keys that other folders define: settings of model families and of data. No torch."""

from collections.abc import Mapping
from dataclasses import fields
from functools import reduce
from operator import or_
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import Field

from transformer.config.types import Auto, Boolean, Integer, Number, Numbers, TokenizerFile
from transformer.data.pairs.settings import PairSettings
from transformer.data.text.settings import TextSettings
from transformer.data.tokenizers.registry import TOKENIZERS
from transformer.models.families.registry import FAMILIES

T = TypeVar("T")

if TYPE_CHECKING:
    ModelName = TokenizerName = str
else:
    ModelName = Literal[*FAMILIES]
    TokenizerName = Literal[*TOKENIZERS] | TokenizerFile

# A family's `data` -> the class of its settings.
DATA = {"text": TextSettings, "pairs": PairSettings}
_READ_AS: dict[Any, Any] = {bool: Boolean, int: Integer, float: Number, list[float]: Numbers}


def names(kind: type) -> list[str]:
    return [f.name for f in fields(kind)]


def taken(kind: type[T], values: Mapping[str, Any]) -> T:
    """Makes a dataclass from `values`; values that are not its fields are ignored."""
    return kind(**{name: values[name] for name in names(kind) if name in values})


def foreign_keys(model: str) -> set[str]:
    """The keys that only other models, or only their data, have."""
    own = _keys_of(model)
    return set().union(*(_keys_of(other) for other in FAMILIES)) - own


def _keys_of(model: str) -> set[str]:
    family = FAMILIES[model]
    return {*family.own_keys(), *names(DATA[family.data])}


def family_keys() -> dict[str, tuple[Any, Any]]:
    """The keys of all families, each once, as arguments of pydantic's create_model."""
    found: dict[str, tuple[Any, Any]] = {}
    for family in FAMILIES.values():
        for name, (annotation, field) in family.own_keys().items():
            about = field.metadata
            kind = Literal[*about["choices"]] if about["choices"] else _read_as(annotation)
            bounds = about["bounds"]
            if field.default == "auto":  # the bounds are those of the number, not of the word
                number = next(part for part in get_args(annotation) if part in _READ_AS)
                kind, bounds = Annotated[_READ_AS[number], Field(**bounds)] | Auto, {}
            rest = Field(field.default, description=about["description"], **bounds)
            found.setdefault(name, (kind, rest))
    return found


def _read_as(annotation: Any) -> Any:
    """The type with which pydantic reads such a value from a file or a flag."""
    if get_origin(annotation) in (Union, UnionType):
        return reduce(or_, map(_read_as, get_args(annotation)))
    return _READ_AS.get(annotation, annotation)
