"""What a check finds, and where. Imports no torch."""

from typing import NamedTuple

NAMED = 3  # places of a finding that are named


class Finding(NamedTuple):
    kind: str
    number: int
    what: str
    places: list[str]
    advice: str


def shortened(text: str, most: int = 60) -> str:
    """A piece of text within a message, as Python writes it."""
    return repr(text if len(text) <= most else f"{text[:most]}...")
