"""The values of a config.json, each read as what it must be. Imports no torch."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformer.system.errors import UserError
from transformer.system.files import read_utf8


class Values:
    """The values of a JSON object in a file, under their names there.

    A value that is missing or null is the `default`; without a default, it is an error.
    """

    def __init__(self, path: Path, values: Mapping[str, Any]) -> None:
        self.path = path
        self._values = values

    @classmethod
    def read(cls, path: Path, what: str) -> "Values":
        """Raises: UserError for a file that is missing or is not a JSON object."""
        text = read_utf8(path, what)
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}: damaged: not JSON ({error}); get the file again") from None
        if not isinstance(values, dict):
            raise UserError(f"{path}: damaged: not a JSON object; get the file again")
        return cls(path, values)

    def get(self, name: str, default: Any = None) -> Any:
        value = self._values.get(name)
        return default if value is None else value

    def names(self) -> list[str]:
        return list(self._values)

    def whole(self, name: str, default: int | None = None) -> int:
        """Raises: UserError unless it is a whole number above 0."""
        value = self.get(name, default)
        if type(value) is not int or value < 1:
            raise self._wrong(name, value, "a whole number above 0")
        return value

    def number(self, name: str, default: float | None = None) -> float:
        """Raises: UserError unless it is a number above 0."""
        value = self.get(name, default)
        if type(value) not in (int, float) or not 0 < value < float("inf"):
            raise self._wrong(name, value, "a number above 0")
        return float(value)

    def truth(self, name: str, *, default: bool) -> bool:
        """Raises: UserError unless it is true or false."""
        value = self.get(name, default)
        if type(value) is not bool:
            raise self._wrong(name, value, "true or false")
        return value

    def one_of(self, name: str, known: Mapping[str, Any], default: str) -> Any:
        """What a word stands for. Raises: UserError for another word, with the known ones."""
        value = self.get(name, default)
        if not isinstance(value, str) or value not in known:
            raise self.refusal(name, f"known are {', '.join(known)}")
        return known[value]

    def refuse(self, name: str, unless: Any) -> None:
        """Raises: UserError if it has another value, which would change what the model computes."""
        if self.get(name, unless) != unless:
            raise self.refusal(name, f"only {json.dumps(unless)} is")

    def inner(self, name: str) -> "Values":
        """An object within the object; empty where it is missing."""
        values = self.get(name, {})
        if not isinstance(values, dict):
            raise self._wrong(name, values, "a JSON object")
        return Values(self.path, values)

    def refusal(self, name: str, known: str) -> UserError:
        value = json.dumps(self.get(name))[:80]
        return UserError(f"{self.path}: {name} {value} is not read: {known}; use another model")

    def _wrong(self, name: str, value: Any, kind: str) -> UserError:
        found = "it is missing" if value is None else f"got {json.dumps(value)[:80]}"
        return UserError(f"{self.path}: {name} must be {kind}, {found}; get the file again")
