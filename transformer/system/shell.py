"""Commands for a person to copy into a shell. No torch."""

import os
import re
import shlex
import subprocess
from pathlib import PurePath

# What cmd reads as more than a character, also between double quotes where there are some in there.
_SPECIAL_TO_CMD = re.compile(r'[()%!^"<>&|]')
_PLAIN_TO_CMD = re.compile(r"[\w.:/\\@+=-]+", re.ASCII)


def quoted(argument: str | PurePath) -> str:
    """As a shell takes it for one word: a POSIX shell, on Windows cmd.

    A path that starts as a flag does, or as a home folder, is written from this folder on.
    """
    text = str(argument)
    if isinstance(argument, PurePath) and text.startswith(("-", "~")):
        text = os.path.join(".", text)
    return _for_cmd(text) if os.name == "nt" else shlex.quote(text)


def flag(name: str, value: str) -> str:
    """` --name value`, in the form that takes a value which starts as a flag does."""
    return f" --{name}{'=' if value.startswith('-') else ' '}{quoted(value)}"


def _for_cmd(text: str) -> str:
    """A program takes apart its line by the quotes, after cmd has taken it apart by its own rules:
    to cmd each double quote opens or closes, and `%` is never quoted, but `^` frees all of them.
    """
    if _PLAIN_TO_CMD.fullmatch(text):
        return text
    line = subprocess.list2cmdline([text])
    if not line.startswith('"'):
        line = f'"{line}{_backslashes(line)}"'
    if '"' in text or "%" in text:
        return _SPECIAL_TO_CMD.sub(r"^\g<0>", line)
    return line


def _backslashes(line: str) -> str:
    """Those at the end once more, so that none of them frees the quote that follows."""
    return line[len(line.rstrip("\\")) :]
