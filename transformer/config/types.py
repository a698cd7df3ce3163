"""Types of a config's keys, which read a text alike in a file, in a flag and in Python."""

import os
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError, PydanticKnownError

from transformer.config.scalars import TRUTHS, number
from transformer.data.sources.encodings import check_encoding
from transformer.data.tokenizer_files import ENDINGS
from transformer.data.tokenizers.bpe import LEAST_VOCAB_SIZE, MOST_VOCAB_SIZE
from transformer.system.errors import UserError
from transformer.system.paths import expanded


def _number(value: Any, error: Literal["float_parsing", "int_parsing"]) -> Any:
    """Reads a number from text as YAML does; pydantic would also read others, such as 1_000."""
    if isinstance(value, bool):  # otherwise `true` would be 1
        value = str(value).lower()
    if not isinstance(value, str):
        return value
    found = number(value)
    if found is None:
        is_finite = value.lstrip("+-").lower() not in ("inf", "infinity", "nan")
        raise PydanticKnownError(error if is_finite else "finite_number")
    return found


def _float(value: Any) -> Any:
    value = _number(value, "float_parsing")
    try:
        return float(value) if isinstance(value, int) else value
    except OverflowError:
        raise PydanticKnownError("finite_number") from None


def _whole_number(value: Any) -> Any:
    """Also reads a float that is whole, such as `1e3`."""
    value = _number(value, "int_parsing")
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _boolean(value: Any) -> Any:
    if isinstance(value, str) and value not in TRUTHS:
        raise PydanticKnownError("bool_parsing")
    return TRUTHS[value] if isinstance(value, str) else value


def _path(value: Any) -> Any:
    text = os.fspath(value) if isinstance(value, os.PathLike) else value
    return expanded(text) if isinstance(text, str) else text


def _tokenizer_file(value: Any) -> Any:
    text = _path(value)
    if not (isinstance(text, str) and text.lower().endswith(ENDINGS)):
        raise PydanticCustomError("tokenizer_file", "no such kind")
    return text


def _several(value: Any) -> Any:
    """One value as a list of one, as after a flag."""
    return [value] if isinstance(value, str | float | int) else value


def _one_or_several(value: Any) -> Any:
    """A list of one path is that path."""
    return value[0] if isinstance(value, list | tuple) and len(value) == 1 else value


def _encoding(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return check_encoding(value)
    except UserError as error:
        raise PydanticCustomError("encoding", "{problem}", {"problem": str(error)}) from None


Boolean = Annotated[bool, BeforeValidator(_boolean)]
Integer = Annotated[int, BeforeValidator(_whole_number)]
Number = Annotated[float, BeforeValidator(_float)]
Fraction = Annotated[Number, Field(ge=0, lt=1)]
# Bounds belong to the number in a union: on the union, pydantic would compare `auto` with 0.
Positive = Annotated[Integer, Field(gt=0)]
Rare = Annotated[Integer, Field(ge=2)]
VocabSize = Annotated[Integer, Field(ge=LEAST_VOCAB_SIZE, le=MOST_VOCAB_SIZE)]
NotNegative = Annotated[Integer, Field(ge=0)]
Auto = Literal["auto"]
FilePath = Annotated[str, BeforeValidator(_path)]  # of a file or a folder
_NamedPath = Annotated[FilePath, Field(min_length=1)]
# Of a file, a folder or a pattern, or several of these.
DataPaths = Annotated[_NamedPath | list[_NamedPath], BeforeValidator(_one_or_several)]
Numbers = Annotated[
    list[Annotated[Number, Field(gt=0)]], Field(min_length=1), BeforeValidator(_several)
]
Encoding = Annotated[str, BeforeValidator(_encoding)]
TokenizerFile = Annotated[str, BeforeValidator(_tokenizer_file)]
