"""prepare.py finds a fault that was put into clean texts, with its place, and nothing in them."""

import base64
import json
import random
import re
import sys
from pathlib import Path

import pytest

import prepare
from transformer.config.keys import Config
from transformer.data.built_in.shakespeare import tiny_shakespeare
from transformer.inspection.corpus import findings

FAULTS = {
    "replaced characters": lambda text: text[:5000] + "caf\ufffd" + text[5000:],
    "control characters": lambda text: text[:5000] + "\x07" + text[5000:],
    "odd line ends": lambda text: text[:5000] + "a\rb" + text[5000:],
    "blobs": lambda text: text + base64.b64encode(random.Random(0).randbytes(999)).decode(),
    "rare symbols": lambda text: text[:5000] + "\u6f22" + text[5000:],
    "doubled UTF-8": lambda text: text + "привет".encode().decode("cp1252", "replace"),
}


@pytest.fixture
def plays(tmp_path):
    text = tiny_shakespeare()[:180_000]
    for number in range(6):
        part = text[number * 30_000 : (number + 1) * 30_000]
        (tmp_path / f"{number}.txt").write_text(part, encoding="utf-8", newline="")
    return tmp_path


def report(path, capsys, *flags):
    assert prepare.main([str(path), "--plan", "false", "--json", *flags]) == 0
    return json.loads(capsys.readouterr().out)


def kinds(path, capsys, *flags):
    return {one["kind"]: one["places"] for one in report(path, capsys, *flags)["findings"]}


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
    (plays / "7.txt").write_bytes((plays / "2.txt").read_bytes())
    assert prepare.main([str(plays), "--plan", "false"]) == 0
    assert "-> train with --drop_duplicates true" in capsys.readouterr().out


def advice(path, capsys, kind):
    findings = report(path, capsys)["findings"]
    return next(one["advice"] for one in findings if one["kind"] == kind)


def test_a_header_is_dropped_by_a_flag_only_if_no_other_line_would_go(tmp_path, capsys):
    pages = ["My Book", *(f"Sentence {chr(n)} of a page." * 4 for n in range(200, 220))]
    text = "\n".join(line for n in range(9) for line in [pages[0], *(f"{n}{p}" for p in pages[1:])])
    (tmp_path / "book.txt").write_text(text, encoding="utf-8")
    assert advice(tmp_path, capsys, "page headers").endswith("train with --drop_lines_seen 9")
    (tmp_path / "play.txt").write_text("HAMLET.\nsays\n" * 9, encoding="utf-8")
    told = advice(tmp_path, capsys, "page headers")
    assert "--drop_lines_seen 9 would leave out 2 other lines too, such as 'HAMLET.'" in told


LINE = "A line of the page, as long as any.\n"
PAGES = {
    "book": [(number, 30) for number in range(1, 21)],
    # Chapters are not equally long, years do not count up, and a sonnet is no page.
    "chapters": [*enumerate((40, 90, 300, 35, 500, 61, 77, 250), start=1)],
    "years": [(1500 + 37 * number % 100, 30) for number in range(20)],
    "sonnets": [(number, 14) for number in range(1, 21)],
}


def test_page_numbers_count_up_from_page_to_page(tmp_path, capsys):
    for name, pages in PAGES.items():
        text = "".join(
            f"{number}\n" + "".join(f"{name} {number}-{n} {LINE}" for n in range(length))
            for number, length in pages
        )
        (tmp_path / f"{name}.txt").write_text(text, encoding="utf-8")
    (told,) = kinds(tmp_path, capsys)["page numbers"]
    assert "book.txt, line 1: '1', 20 times" in told


def test_a_file_in_another_encoding_is_named_with_the_flag_that_reads_it(tmp_path, capsys):
    text = "Où est le café? Il est déjà là, près de la forêt où les élèves jouent.\n" * 40
    (tmp_path / "a.txt").write_bytes(text.encode("latin-1"))
    assert "a.txt, line 1: byte 0xf9, which is 'ù'" in kinds(tmp_path, capsys)["other encoding"][0]
    assert "train with --encoding" in advice(tmp_path, capsys, "other encoding")
    assert report(tmp_path, capsys)["symbols"] == len(set(text))  # the text was looked at


def test_what_cannot_be_read_is_named_and_the_rest_is_looked_at(plays, capsys):
    (plays / "a.jsonl").write_text('{"text": "good"}\n{"body": "bad"}\n', encoding="utf-8")
    (plays / "b.txt.gz").write_bytes(b"no gzip")
    found = report(plays, capsys)
    named = " ".join(found["findings"][0]["places"])
    assert "b.txt.gz" in named
    assert "a.jsonl, line 2" in named
    assert found["documents"] == 7


def test_a_passage_is_in_both_splits_only_if_a_run_would_split_it_so(plays, capsys):
    own = plays.parent / "own.txt"
    own.write_text((plays / "1.txt").read_text(encoding="utf-8")[2000:26_000], encoding="utf-8")
    assert "text in both splits" not in kinds(plays, capsys)
    named = kinds(plays, capsys, "--val_path", str(own))["text in both splits"]
    assert "1.txt, line " in named[0]
    assert "own.txt, line 2" in named[0]  # the first whole one


def test_without_its_package_languages_are_left_out_with_the_way_to_get_it(plays, capsys):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "py3langid", None)
        assert prepare.main([str(plays), "--plan", "false"]) == 0
    told = capsys.readouterr().out
    assert "py3langid is missing: pip install -r requirements-corpus.txt" in told


def test_every_flag_that_an_advice_names_is_one():
    files = Path(findings.__file__).parent.glob("*.py")
    named = {flag for file in files for flag in re.findall(r"--(\w+)", file.read_text("utf-8"))}
    assert {"drop_lines_seen", "encoding"} <= named
    assert named <= {*Config.model_fields, "out"}
