"""UserError, which the scripts print as one line on stderr before they exit with status 2."""

import re

MOST_OF_AN_ERROR = 300  # characters of another program's error in one of ours
_ARGUMENT = re.compile(r"`([a-z]\w*)(?:=([^`]*))?`")


class UserError(ValueError):
    """A mistake that the user can correct; its text is one line that says how.

    The text names arguments as in Python, in backticks: `lr`, `skip_unknown=True`. The scripts
    turn these into flags with `in_flags`.
    """


def in_flags(text: str) -> str:
    """The error's text with a flag for each argument: `lr` -> --lr, `devices=2` -> --devices 2."""
    return _ARGUMENT.sub(_flag, text)


def _flag(match: re.Match[str]) -> str:
    name, value = match.groups()
    return f"--{name}" if value in (None, "True") else f"--{name} {value}"


def in_one_line(error: BaseException) -> str:
    """What an error of Python or a library says, for a message of one line."""
    return " ".join(str(error).split())[:MOST_OF_AN_ERROR]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether Python or torch ran out of memory.

    For a CPU's memory torch raises a plain RuntimeError, recognized only by its text.
    """
    if isinstance(error, RuntimeError):
        return any(words in str(error) for words in ("out of memory", "allocate memory"))
    return isinstance(error, MemoryError)
