"""Units of a text as labels of a picture."""

MOST_LETTERS = 12  # of a label
_VISIBLE = str.maketrans({" ": "␣", "\n": "↵", "\t": "⇥", "\r": "␍"})


def shortened(unit: str, most: int = MOST_LETTERS) -> str:
    """The text of a unit with visible white space; of a long one, its beginning."""
    text = "".join(c if c.isprintable() else "·" for c in unit.translate(_VISIBLE))
    return text if len(text) <= most else f"{text[: most - 1]}…"
