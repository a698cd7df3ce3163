"""Expands `~` and `$NAME` in paths, as a shell does. No torch.

A shell does not expand them within quotes or in `--flag=~/runs`, and no shell reads YAML files.
"""

import os
import re
from os.path import lexists
from pathlib import Path

from transformer.system.errors import UserError

_VARIABLE = re.compile(r"\$(?:([A-Za-z_]\w*)|\{(\w+)\})", re.ASCII)


def expanded(path: str | Path) -> str | Path:
    """The path with its home folder and variables filled in.

    A name with `$` or of an unknown `~user` stays as it is if there is such a file. `./~` is a file
    named `~`. A Path is returned unchanged, as Python's own functions do not expand one either. A
    `$` without a name after it is an ordinary character.

    Raises: UserError for a variable that is not set, and for an unknown user.
    """
    if not isinstance(path, str):
        return path
    text = _without_home(path)
    if _VARIABLE.search(text) is None or lexists(text):
        return text
    return _VARIABLE.sub(lambda match: _value(match, path), text)


def _without_home(path: str) -> str:
    if not path.startswith("~"):
        return path
    home = os.path.expanduser(path)
    if home.startswith("~") and not lexists(path):
        name = re.split(r"[/\\]", path)[0]
        raise UserError(
            f"{path}: no home folder is known for {name}: for a file of that name write ./{path}"
        )
    return home


def _value(match: re.Match[str], path: str) -> str:
    name = match[1] or match[2]
    if value := os.environ.get(name):
        return value
    raise UserError(f"{path}: the variable {name} is not set: set it, or write the full path")
