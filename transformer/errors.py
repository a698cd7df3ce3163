"""The one exception that the scripts turn into a line on stderr and exit status 2."""


class UserError(ValueError):
    """A mistake the user can mend; its text is one line that says how."""


def is_out_of_memory(error: BaseException) -> bool:
    """Python's own, and torch's: of a GPU, and of a CPU, which has no class of its own."""
    text = str(error)
    of_torch = isinstance(error, RuntimeError) and (
        "out of memory" in text or "allocate memory" in text
    )
    return isinstance(error, MemoryError) or of_torch
