"""The error that names the units that are not in a vocabulary. Imports no torch."""

import unicodedata
from collections.abc import Collection

from transformer.system.errors import UserError


def unknown_units(kind: str, units: Collection[str], most: int = 8) -> UserError:
    """Adds Unicode names, because some characters look alike: `'é' (LATIN SMALL LETTER E ...)`."""
    total, first = len(units), sorted(units)[:most]
    names = [repr(unit) for unit in first]
    if kind == "characters":
        names = [f"{c!r} ({unicodedata.name(c, f'U+{ord(c):04X}')})" for c in first]
    return UserError(
        f"the model never saw {f'{total} of the {kind}, ' * (total > 1)}{', '.join(names)}"
        f"{f' and {total - most} more' * (total > most)}: "
        "remove them from the text, or give `skip_unknown=True` to drop them"
    )
