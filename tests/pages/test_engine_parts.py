"""The files of the engine: all are part of its script, and short."""

from pathlib import Path

import pytest

import transformer.pages
from transformer.pages.engine import ENGINE_PARTS, WORKER_PARTS, engine_script

FOLDER = Path(transformer.pages.__path__[0]) / "templates" / "engine"
FILES = sorted(FOLDER.glob("*.js"))


def test_every_file_is_a_part_of_the_script_once():
    assert sorted((*ENGINE_PARTS, *WORKER_PARTS)) == [path.name for path in FILES]


def test_the_script_may_stand_in_a_script_element():
    script = engine_script().lower()
    assert "</script" not in script
    assert "<!--" not in script


def bodies(lines):
    """The lines of each function: up to the first } as far to the left as its first line."""
    words = ("if", "for", "while", "class", "}")
    for start, line in enumerate(lines):
        code = line.strip()
        if not code.endswith("{") or "(" not in code or code.startswith(words):
            continue
        left = line[: len(line) - len(line.lstrip())]
        ends = (n for n in range(start + 1, len(lines)) if lines[n].startswith(f"{left}}}"))
        yield code, next(ends) - start - 1


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_file_is_at_most_300_lines_of_100_characters_and_a_function_40_lines(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 300
    assert [line for line in lines if len(line) > 100] == []
    assert [(code, size) for code, size in bodies(lines) if size > 40] == []
