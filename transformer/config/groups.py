"""The keys that other rooms define: settings of model families and of data. No torch."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import reduce
from operator import or_
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import Field

from transformer.config.types import Boolean, Integer, Number
from transformer.data.pairs.settings import PairSettings
from transformer.data.text.settings import TextSettings
from transformer.data.tokenizers.registry import TOKENIZERS
from transformer.models.families.registry import FAMILIES

T = TypeVar("T")

if TYPE_CHECKING:
    ModelName = TokenizerName = str
else:
    ModelName, TokenizerName = Literal[*FAMILIES], Literal[*TOKENIZERS]

# What a family's `data` names: the settings of a text, of pairs.
DATA = {"text": TextSettings, "pairs": PairSettings}
_READ_AS: dict[Any, Any] = {bool: Boolean, int: Integer, float: Number}


def names(kind: type) -> list[str]:
    """The fields of a dataclass."""
    return [f.name for f in fields(kind)]


def taken(kind: type[T], values: Mapping[str, Any]) -> T:
    """A dataclass from those of `values` that are its fields."""
    return kind(**{name: values[name] for name in names(kind) if name in values})


def foreign_keys(model: str) -> set[str]:
    """Keys of other models and of what these are trained on."""
    own = _keys_of(model)
    return set().union(*(_keys_of(other) for other in FAMILIES)) - own


def _keys_of(model: str) -> set[str]:
    family = FAMILIES[model]
    return {*family.own_keys(), *names(DATA[family.data])}


def family_keys() -> Iterator[tuple[str, tuple[Any, Any]]]:
    """The keys of all families, each once, as pydantic takes a field: its type and the rest."""
    found: dict[str, tuple[Any, Any]] = {}
    for family in FAMILIES.values():
        for name, (annotation, field) in family.own_keys().items():
            about = field.metadata
            kind = Literal[*about["choices"]] if about["choices"] else _read_as(annotation)
            rest = Field(field.default, description=about["description"], **about["bounds"])
            found.setdefault(name, (kind, rest))
    yield from found.items()


def _read_as(annotation: Any) -> Any:
    """The type that reads a value of this type from a file or a flag."""
    if get_origin(annotation) in (Union, UnionType):
        return reduce(or_, map(_read_as, get_args(annotation)))
    return _READ_AS.get(annotation, annotation)
