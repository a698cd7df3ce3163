"""What an error says about a damaged file, for a message of one line. No torch."""

from transformer.system.errors import MOST_OF_AN_ERROR, in_one_line


def what_is_wrong(error: BaseException) -> str:
    """As `in_one_line`; of a key that is missing, Python itself gives the name alone."""
    missing = "it has no " if isinstance(error, KeyError) else ""
    return (missing + in_one_line(error))[:MOST_OF_AN_ERROR]
