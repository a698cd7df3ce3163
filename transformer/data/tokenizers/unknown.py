"""The error that names the units that are not in a vocabulary. Imports no torch."""

import unicodedata
from collections.abc import Collection

from transformer.system.errors import UserError


def unknown_characters(characters: Collection[str]) -> UserError:
    """Adds Unicode names, because some characters look alike: `'é' (LATIN SMALL LETTER E ...)`."""
    return _unknown("characters", {c: f"{c!r} ({_name(c)})" for c in characters})


def unknown_words(words: Collection[str]) -> UserError:
    return _unknown("words", {word: repr(word) for word in words})


def _name(character: str) -> str:
    return unicodedata.name(character, f"U+{ord(character):04X}")


def _unknown(what: str, names: dict[str, str], most: int = 8) -> UserError:
    total = len(names)
    named = ", ".join(names[unit] for unit in sorted(names)[:most])
    return UserError(
        f"the model never saw {f'{total} of the {what}, ' * (total > 1)}{named}"
        f"{f' and {total - most} more' * (total > most)}: "
        "remove them from the text, or give `skip_unknown=True` to drop them"
    )
