"""prepare.py finds a fault that was put into clean texts, with its place, and nothing in them."""

import base64
import json
import random

import pytest

import prepare
from transformer.data.built_in.shakespeare import tiny_shakespeare

FAULTS = {
    "replaced characters": lambda text: text[:5000] + "caf\ufffd" + text[5000:],
    "doubled UTF-8": lambda text: text[:5000] + "café".encode().decode("latin-1") + text[5000:],
    "control characters": lambda text: text[:5000] + "\x07" + text[5000:],
    "invisible characters": lambda text: text[:5000] + "\u200b" + text[5000:],
    "odd line ends": lambda text: text[:5000] + "a\rb" + text[5000:],
    "long lines": lambda text: text + text.replace("\n", " ") * 8,
    "blobs": lambda text: text + base64.b64encode(random.Random(0).randbytes(999)).decode(),
    "rare symbols": lambda text: text[:5000] + "\u6f22" + text[5000:],
}


@pytest.fixture
def plays(tmp_path):
    text = tiny_shakespeare()[:180_000]
    for number in range(6):
        part = text[number * 30_000 : (number + 1) * 30_000]
        (tmp_path / f"{number}.txt").write_text(part, encoding="utf-8", newline="")
    return tmp_path


def kinds(path, capsys):
    assert prepare.main([str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["findings"]
    return {one["kind"]: one["places"] for one in found}


@pytest.fixture
def clean(plays, capsys):
    return set(kinds(plays, capsys))


def test_of_clean_plays_only_their_own_repetitions_are_told(clean):
    assert clean <= {"rare symbols", "repeated lines"}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_is_found_in_its_file_and_line(plays, capsys, kind):
    path = plays / "3.txt"
    path.write_text(FAULTS[kind](path.read_text(encoding="utf-8")), encoding="utf-8", newline="")
    found = kinds(plays, capsys)
    assert "3.txt, line " in " ".join(found[kind])


def test_copies_and_headers_are_found(plays, capsys):
    text = (plays / "2.txt").read_text(encoding="utf-8")
    (plays / "7.txt").write_text(text, encoding="utf-8")
    (plays / "8.txt").write_text(text[1000:], encoding="utf-8")
    for path in plays.glob("*.txt"):
        old = path.read_text(encoding="utf-8")
        path.write_text(f"{old}\nPrinted by Nobody, page of one book\n", encoding="utf-8")
    found = kinds(plays, capsys)
    assert {"2.txt", "7.txt"} <= set(" ".join(found["copies"]).replace("/", " ").split())
    assert "8.txt" in " ".join(found["near copies"])
    assert "Printed by Nobody" in " ".join(found["repeated lines"])


def test_the_report_of_a_person_names_the_way_out(plays, capsys):
    (plays / "bad.txt").write_text("a\x07b\n", encoding="utf-8")
    assert prepare.main([str(plays)]) == 0
    assert "-> remove them from your files" in capsys.readouterr().out
