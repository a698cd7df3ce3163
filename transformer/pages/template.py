"""Reads the parts of a page, and puts values into them. Imports no torch."""

import json
import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

_PLACEHOLDER = re.compile(r"\{\{([\w./]+)\}\}")
_ESCAPES = {ord(character): f"\\u{ord(character):04x}" for character in "<>&"}


def template(name: str) -> str:
    templates = resources.files("transformer.pages") / "templates"
    return (templates / name).read_text(encoding="utf-8")


def filled(name: str, values: Mapping[str, str]) -> str:
    """A template in which each {{name}} is one of the values, or the text of another template."""

    def part(match: re.Match[str]) -> str:
        found = values.get(match[1])
        return template(match[1]) if found is None else found

    return _PLACEHOLDER.sub(part, template(name))


def as_json(value: Any) -> str:
    """JSON in ASCII that may stand within a script element.

    A text with </script> in it would end the element: JSON escapes replace < > &.
    """
    return json.dumps(value, separators=(",", ":")).translate(_ESCAPES)
