"""Types of a config's keys: a text means the same in a file, behind a flag and in Python."""

import os
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticKnownError

from transformer.config.scalars import TRUTHS, number
from transformer.system.paths import expanded


def _number(value: Any) -> Any:
    """Numbers are read from text here, as pydantic reads more than YAML; `true` is no 1."""
    if isinstance(value, bool):
        value = str(value).lower()
    if not isinstance(value, str):
        return value
    found = number(value)
    if found is None and value.lstrip("+-").lower() in ("inf", "infinity", "nan"):
        raise PydanticKnownError("finite_number")
    return value if found is None else found


def _float(value: Any) -> Any:
    value = _number(value)
    if isinstance(value, str):
        raise PydanticKnownError("float_parsing")
    try:
        return float(value) if isinstance(value, int) else value
    except OverflowError:
        raise PydanticKnownError("finite_number") from None


def _whole_number(value: Any) -> Any:
    """`1e3` is a float that is whole."""
    value = _number(value)
    if isinstance(value, str):
        raise PydanticKnownError("int_parsing")
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _boolean(value: Any) -> Any:
    if isinstance(value, str) and value not in TRUTHS:
        raise PydanticKnownError("bool_parsing")
    return TRUTHS[value] if isinstance(value, str) else value


def _path(value: Any) -> Any:
    text = os.fspath(value) if isinstance(value, os.PathLike) else value
    return expanded(text) if isinstance(text, str) else text


Boolean = Annotated[bool, BeforeValidator(_boolean)]
Integer = Annotated[int, BeforeValidator(_whole_number)]
Number = Annotated[float, BeforeValidator(_float)]
Fraction = Annotated[Number, Field(ge=0, lt=1)]
# Bounds stand inside a union: on the whole of it, pydantic would compare the words with 0.
Positive = Annotated[Integer, Field(gt=0)]
NotNegative = Annotated[Integer, Field(ge=0)]
Auto = Literal["auto"]
FilePath = Annotated[str, BeforeValidator(_path)]  # of a file or a folder
