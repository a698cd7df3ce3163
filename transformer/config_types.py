"""Types of a config's keys: YAML's and the command line's ways of writing a number are one."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field


def _whole_number(value: Any) -> Any:
    """YAML 1.1 reads `1e3` as text, which is converted, and `true` as 1, which is refused."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            pass
        try:
            number = float(value)
        except ValueError:
            return value
        return int(number) if number.is_integer() else number
    return value


def _number(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


Integer = Annotated[int, BeforeValidator(_whole_number)]
Number = Annotated[float, BeforeValidator(_number)]
Fraction = Annotated[Number, Field(ge=0, lt=1)]
# Bounds stand inside a union: on the whole of it, pydantic would compare the words with 0.
Positive = Annotated[Integer, Field(gt=0)]
NotNegative = Annotated[Integer, Field(ge=0)]
Auto = Literal["auto"]
Units = Literal["characters", "words"]
