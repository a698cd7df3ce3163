"""Quotes commands that a person copies into a shell. No torch."""

import os
import re
import shlex
import subprocess
from pathlib import PurePath

# Characters that cmd interprets, even within double quotes if these enclose further ones.
_SPECIAL_TO_CMD = re.compile(r'[()%!^"<>&|]')
_PLAIN_TO_CMD = re.compile(r"[\w.:/\\@+=-]+", re.ASCII)


def quoted(argument: str | PurePath) -> str:
    """The argument quoted as one word for a POSIX shell, on Windows for cmd.

    A path that starts with `-` or `~` gets `./` before it, or it would be read as a flag or a home
    folder.
    """
    text = str(argument)
    if isinstance(argument, PurePath) and text.startswith(("-", "~")):
        text = os.path.join(".", text)
    return _for_cmd(text) if os.name == "nt" else shlex.quote(text)


def flag(name: str, value: str) -> str:
    """` --name value`; with `=` if the value starts with `-`, as a flag does."""
    return f" --{name}{'=' if value.startswith('-') else ' '}{quoted(value)}"


def _for_cmd(text: str) -> str:
    """cmd parses the line first, and the program parses the result once more by its quotes.

    For cmd each double quote opens or closes a quotation, and `%` is special even within one. A `^`
    makes any of these characters an ordinary one.
    """
    if _PLAIN_TO_CMD.fullmatch(text):
        return text
    line = subprocess.list2cmdline([text])
    if not line.startswith('"'):
        trailing = line[len(line.rstrip("\\")) :]  # doubled, or they would escape the last quote
        line = f'"{line}{trailing}"'
    if '"' in text or "%" in text:
        return _SPECIAL_TO_CMD.sub(r"^\g<0>", line)
    return line
