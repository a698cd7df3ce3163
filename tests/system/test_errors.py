"""Errors of others in messages of ours."""

import re
from pathlib import Path

import pytest

import transformer
from transformer.system.errors import MOST_OF_AN_ERROR, in_one_line


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("size mismatch:\n\tcopying  a param", "size mismatch: copying a param"),
        ("x" * 5000, "x" * MOST_OF_AN_ERROR),
        ("", ""),
    ],
)
def test_what_another_program_says_is_one_short_line(text, expected):
    assert in_one_line(RuntimeError(text)) == expected


def test_all_messages_are_made_one_line_by_the_same_function():
    joined = re.compile(r"join\(str\(\w+\)\.split\(\)\)")
    package = Path(transformer.__file__).parent
    files = [path for path in package.rglob("*.py") if joined.search(path.read_text("utf-8"))]
    assert files == [package / "system" / "errors.py"]
