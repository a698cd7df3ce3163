"""Paths as a user writes them: `~` and `$NAME` stand for what they stand for in a shell. No torch.

A shell leaves them alone between quotes and in `--flag=~/runs`, and no shell reads a YAML file.
"""

import os
import re
from pathlib import Path
from typing import overload

from transformer.system.errors import UserError

_VARIABLE = re.compile(r"\$(?:([A-Za-z_]\w*)|\{(\w+)\})", re.ASCII)


@overload
def expanded(path: str) -> str: ...
@overload
def expanded(path: str | Path) -> str | Path: ...
def expanded(path: str | Path) -> str | Path:
    """The text with home folders and variables filled in; a file that has the very name stays.

    `./~` is a file of this name, and a Path is taken as it is, as by all of Python. A `$` without
    a name behind it is a character as any other.

    Raises: UserError for a variable that is not set, and a user who is not there.
    """
    if not isinstance(path, str):
        return path
    text = _without_home(path)
    if _VARIABLE.search(text) is None or _exists(text):
        return text
    return _VARIABLE.sub(lambda match: _value(match, path), text)


def _without_home(path: str) -> str:
    if not path.startswith("~"):
        return path
    home = os.path.expanduser(path)
    if home.startswith("~") and not _exists(path):
        name = re.split(r"[/\\]", path)[0]
        raise UserError(f"{path}: no home folder is known for {name}: for that name write ./{path}")
    return home


def _value(match: re.Match[str], path: str) -> str:
    name = match[1] or match[2]
    value = os.environ.get(name, "")
    if not value:
        raise UserError(f"{path}: the variable {name} is not set: set it, or write the path out")
    return value


def _exists(path: str) -> bool:
    return os.path.lexists(path)
