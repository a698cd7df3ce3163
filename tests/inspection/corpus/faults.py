"""Ten corpora with one fault each, made from the plays and a seed."""

import base64
import random
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from transformer.data.built_in.shakespeare import tiny_shakespeare

NUM_FILES, CHARACTERS = 8, 60_000  # of a file
GERMAN = """Habe nun, ach! Philosophie, Juristerei und Medizin, und leider auch Theologie
durchaus studiert, mit heißem Bemühn. Da steh ich nun, ich armer Tor, und bin so klug als wie zuvor.
Heiße Magister, heiße Doktor gar, und ziehe schon an die zehen Jahr herauf, herab und quer und krumm
meine Schüler an der Nase herum, und sehe, dass wir nichts wissen können. Das will mir schier das
Herz verbrennen. Zwar bin ich gescheiter als alle die Laffen, Doktoren, Magister, Schreiber und
Pfaffen. Mich plagen keine Skrupel noch Zweifel, fürchte mich weder vor Hölle noch Teufel. Dafür ist
mir auch alle Freud entrissen. Bilde mir nicht ein, was Rechts zu wissen. Bilde mir nicht ein, ich
könnte was lehren, die Menschen zu bessern und zu bekehren.""".replace("\n", " ")


class Place(NamedTuple):
    kind: str
    file: str
    line: int


def plays() -> list[list[str]]:
    """The lines of each file."""
    text = tiny_shakespeare()
    parts = (text[n * CHARACTERS : (n + 1) * CHARACTERS] for n in range(NUM_FILES))
    return [part.split("\n") for part in parts]


def write(folder: Path, files: list[list[str]], line_ends: str = "\n") -> None:
    for number, lines in enumerate(files):
        data = line_ends.join(lines).encode("utf-8", "surrogateescape")
        (folder / f"{number}.txt").write_bytes(data)


def into_a_line(added: str, kind: str) -> "Fault":
    def make(folder: Path, files: list[list[str]], chance: random.Random) -> Place:
        number, line = chance.randrange(NUM_FILES), chance.randrange(50, 1000)
        files[number][line] += added
        write(folder, files)
        return Place(kind, f"{number}.txt", line + 1)

    return make


def page_headers(folder: Path, files: list[list[str]], chance: random.Random) -> Place:
    number = chance.randrange(NUM_FILES)
    at = first = chance.randrange(5, 40)
    while at < len(files[number]):
        files[number].insert(at, "THE PLAYS OF A POET")
        at += 46 + chance.randrange(3)
    write(folder, files)
    return Place("page headers", f"{number}.txt", first + 1)


def speech(lines: list[str], at: int) -> int:
    """The line of a speaker's name, from this line on."""
    return next(n for n in range(at, len(lines)) if lines[n].endswith(":"))


def duplicated_chapter(folder: Path, files: list[list[str]], chance: random.Random) -> Place:
    first, second = chance.sample(range(NUM_FILES - 2), 2)  # the last file has the validation split
    start, at = speech(files[first], chance.randrange(100, 700)), chance.randrange(100, 700)
    files[second][at:at] = files[first][start : start + 200]
    write(folder, files)
    return Place("repeated passages", f"{second}.txt", at + 1)


def chapter_in_both_splits(folder: Path, files: list[list[str]], chance: random.Random) -> Place:
    start, at = speech(files[0], chance.randrange(100, 700)), chance.randrange(900, 1000)
    files[-1][at:at] = files[0][start : start + 100]
    write(folder, files)
    return Place("text in both splits", f"{NUM_FILES - 1}.txt", at + 1)


def cr_line_ends(folder: Path, files: list[list[str]], chance: random.Random) -> Place:
    write(folder, files)
    number = chance.randrange(NUM_FILES)
    (folder / f"{number}.txt").write_bytes("\r".join(files[number]).encode())
    return Place("odd line ends", f"{number}.txt", 1)


def long_line(folder: Path, files: list[list[str]], chance: random.Random) -> Place:
    number, line = chance.randrange(NUM_FILES), chance.randrange(100, 1000)
    words = " ".join(" ".join(lines) for lines in files).split()
    files[number][line] = " ".join(chance.choices(words, k=1_900_000))
    assert len(files[number][line]) > 9_500_000
    write(folder, files)
    return Place("long lines", f"{number}.txt", line + 1)


def two_languages(folder: Path, files: list[list[str]], chance: random.Random) -> Place:
    number, at = chance.randrange(NUM_FILES), chance.randrange(300, 700)
    sentences = GERMAN.split(". ")
    files[number][at:at] = [". ".join(chance.sample(sentences, 2)) for _ in range(150)]
    write(folder, files)
    return Place("several languages", f"{number}.txt", at + 1)


def blob(folder: Path, files: list[list[str]], chance: random.Random) -> Place:
    number, line = chance.randrange(NUM_FILES), chance.randrange(50, 1000)
    files[number][line:line] = base64.encodebytes(chance.randbytes(2000)).decode().split("\n")
    write(folder, files)
    return Place("blobs", f"{number}.txt", line + 1)


Fault = Callable[[Path, list[list[str]], random.Random], Place]

FAULTS: dict[str, Fault] = {
    "Latin-1 inside UTF-8": into_a_line(" na\udcefve, as naïve people say", "mixed encodings"),
    "doubled UTF-8": into_a_line(" cafÃ©", "doubled UTF-8"),
    "page headers": page_headers,
    "duplicated chapters": duplicated_chapter,
    "a chapter in both splits": chapter_in_both_splits,
    "CR line ends": cr_line_ends,
    "zero-width characters": into_a_line("zero\u200bwidth", "invisible characters"),
    "a 10 MB line": long_line,
    "two languages": two_languages,
    "base64 blobs": blob,
}


def seeded(folder: Path, name: str, seed: int) -> Place:
    """Writes the corpus with this fault; gives where it is, and what prepare.py should call it."""
    return FAULTS[name](folder, plays(), random.Random(f"{name} {seed}"))
