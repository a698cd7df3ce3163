"""What an error says about a damaged file, for a message of one line. No torch."""

_MOST = 300  # characters


def in_one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:_MOST]


def what_is_wrong(error: BaseException) -> str:
    """As `in_one_line`; of a key that is missing, Python itself gives the name alone."""
    missing = "it has no " if isinstance(error, KeyError) else ""
    return (missing + in_one_line(error))[:_MOST]
