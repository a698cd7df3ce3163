"""Reads the parts of a page, and puts values into them. Imports no torch."""

import json
import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

_PLACEHOLDER = re.compile(r"\{\{([\w./]+)\}\}")
_CODE = (".js", ".css")
_ESCAPES = {ord(character): f"\\u{ord(character):04x}" for character in "<>&"}


def template(name: str) -> str:
    templates = resources.files("transformer.pages") / "templates"
    return (templates / name).read_text(encoding="utf-8")


def code(name: str) -> str:
    """A script or a style without its indentation and without comments, but for those after code.

    A third of a script is that, and a page is short, because it is sent. No text of a script may go
    over several lines.
    """
    lines, within = [], False
    for line in map(str.strip, template(name).splitlines()):
        if within or line.startswith("/*"):
            within = "*/" not in line
            line = line.partition("*/")[2].strip()
        if line and not line.startswith("//"):
            lines.append(line)
    return "\n".join(lines)


def filled(name: str, values: Mapping[str, str]) -> str:
    """A template in which each {{name}} is one of the values, or the text of another template."""

    def part(match: re.Match[str]) -> str:
        if match[1] in values:
            return values[match[1]]
        return code(match[1]) if match[1].endswith(_CODE) else template(match[1])

    return _PLACEHOLDER.sub(part, template(name))


def as_json(value: Any) -> str:
    """JSON in ASCII that may stand within a script element.

    A text with </script> in it would end the element: JSON escapes replace < > &.
    """
    return json.dumps(value, separators=(",", ":")).translate(_ESCAPES)
