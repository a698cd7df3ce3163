"""The one exception that the scripts turn into a line on stderr and exit status 2."""

import re

_ARGUMENT = re.compile(r"`([a-z]\w*)(?:=([^`]*))?`")


class UserError(ValueError):
    """A mistake the user can mend; its text is one line that says how.

    What to give stands in it as in Python, in backticks: `lr`, `skip_unknown=True`. The scripts
    show that `in_flags`.
    """


def in_flags(text: str) -> str:
    """The text of an error with flags for arguments: --lr, --skip_unknown, --devices 2."""
    return _ARGUMENT.sub(_flag, text)


def _flag(match: re.Match[str]) -> str:
    name, value = match.groups()
    return f"--{name}" if value in (None, "True") else f"--{name} {value}"


def is_out_of_memory(error: BaseException) -> bool:
    """Python's own, and torch's: of a GPU, and of a CPU, which has no class of its own."""
    text = str(error)
    of_torch = isinstance(error, RuntimeError) and (
        "out of memory" in text or "allocate memory" in text
    )
    return isinstance(error, MemoryError) or of_torch
