"""Commands that are printed do, once they are pasted, what they say."""

import subprocess
import sys
from pathlib import Path, PurePosixPath

import pytest

from transformer.system import shell
from transformer.system.shell import flag, quoted

HOSTILE = [
    *("plain", "two words", "a&b", "x;y", "cost $5 $HOME", "`id`", "it's", 'say "a"', "a\\b"),
    *("*", "!x", "(a)", "#a", "a|b", "a<b>c", "line\nline", "日本", "", "~", "100%", "{a,b}"),
]


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell")
@pytest.mark.parametrize("text", HOSTILE)
def test_a_shell_takes_it_for_one_word(text):
    done = subprocess.run(["sh", "-c", f"printf '%s|' {quoted(text)}"], capture_output=True)
    assert done.stdout.decode() == f"{text}|"


def test_what_looks_like_a_flag_or_a_home_folder_is_a_path_all_the_same():
    assert quoted(PurePosixPath("-x/run")) == "./-x/run"
    assert quoted(PurePosixPath("~/run")) == "'./~/run'"
    assert quoted(Path("runs/first")) == str(Path("runs/first"))
    assert flag("prompt", "-a b") == " --prompt='-a b'"
    assert flag("prompt", "ROMEO:") == " --prompt ROMEO:"


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("runs\\first:", "runs\\first:"),
        ("two words", '"two words"'),
        ("a&b", '"a&b"'),
        ("x;y", '"x;y"'),
        ("a b\\", '"a b\\\\"'),
        ("a&b\\", '"a&b\\\\"'),
        ("a^b", '"a^b"'),
        ("100%", '^"100^%^"'),
        ('say "a" & b', '^"say \\^"a\\^" ^& b^"'),
        ("cost $5", '"cost $5"'),
        ("", '""'),
    ],
)
def test_cmd_and_the_program_behind_it_take_it_for_one_word(monkeypatch, text, command):
    """cmd's rules by the letter: a caret outside of quotes frees what follows, `%` and quotes too;
    between quotes all but `%` is free. What is left, the program takes apart by its own rules.
    """
    monkeypatch.setattr(shell.os, "name", "nt")
    assert quoted(text) == command
