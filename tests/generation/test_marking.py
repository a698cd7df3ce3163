"""Marks stand out without a color, and what is searched is the text as a corpus has it."""

import sys
from types import SimpleNamespace

import pytest

from transformer.data.tokenizers.bytes import ByteTokenizer
from transformer.generation.continuation import Continuation
from transformer.generation.exact_text import exact_text
from transformer.generation.marking import BRACKETS, Marks, brackets_for, has_color, marked_texts


def test_brackets_are_those_that_no_text_has():
    assert brackets_for(["a", "b"]) == ("[[", "]]")
    assert brackets_for(["a", "b]]", "{{"]) == ("<<<", ">>>")
    assert brackets_for(["".join(map("".join, BRACKETS))]) == BRACKETS[-1]


@pytest.mark.parametrize(
    ("variables", "is_terminal", "color"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"TERM": "dumb"}, True, False),
    ],
)
def test_color_is_for_terminals_that_want_it(monkeypatch, variables, is_terminal, color):
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(isatty=lambda: is_terminal))
    assert has_color() == color
    row = Continuation("To ", [])
    row.add(0, "be, or not")
    (text,), legend = marked_texts([row], Marks([[(0, 2), (4, 6)]], [{}], "so much"))
    plain = text.replace("\x1b[7m", "").replace("\x1b[0m", "")
    assert plain == "To [[be]], [[or]] not"
    assert ("\x1b" in text) == color
    assert legend == "[[copied]]: so much"


def test_bytes_that_are_no_utf8_are_searched_as_a_corpus_has_them():
    tokenizer = ByteTokenizer()
    row = Continuation("", [], stop=["stop"])
    data = "caf\u00e9 ".encode() + b"caf\xe9 \xef\xbf\xbd"
    for token in tokenizer.encode(data.decode("utf-8", "surrogateescape")).tolist():
        row.add_bytes(token, tokenizer.bytes_of(token))
    assert row.text == "caf\u00e9 caf\ufffd \ufffd"
    assert exact_text(row, tokenizer) == "caf\u00e9 caf\udce9 \ufffd"
