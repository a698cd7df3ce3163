"""Files, folders and patterns, in every format, compression and encoding."""

import bz2
import gzip
import json
import lzma
import os

import pytest

from transformer.data.sources.reading import read_documents
from transformer.data.sources.settings import Reading, in_words
from transformer.system.errors import UserError

RECORDS = [{"text": "eins\n", "n": 1}, {"text": "zwei — drei\n", "n": 2}]
TEXTS = [record["text"] for record in RECORDS]


def texts(path, **keys):
    return [document.text for document in read_documents(path, Reading(**keys)).every]


def lines(records):
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def zstandard_frames(data):
    zstandard = pytest.importorskip("zstandard")
    half = len(data) // 2
    return b"".join(zstandard.compress(part) for part in (data[:half], data[half:]))


PACKED = {"gz": gzip.compress, "xz": lzma.compress, "bz2": bz2.compress, "zst": zstandard_frames}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b/2.md", "b/10.txt", "a.txt", ".hidden/no.txt", ".no", "Z.rst"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{name}\n", encoding="utf-8")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\0\0")
    return tmp_path


def test_a_folder_is_all_its_texts_by_name_and_nested_ones_too(folder):
    found = read_documents(".", Reading())
    assert [document.text.strip() for document in found.every] == [
        *("Z.rst", "a.txt", "b/10.txt", "b/2.md")
    ]
    assert found.num_no_text == 1


def test_a_pattern_and_a_list_name_files_in_their_order(folder):
    assert texts("b/*.txt") == ["b/10.txt\n"]
    assert texts("**/*.txt") == ["a.txt\n", "b/10.txt\n"]
    found = read_documents(["b", "a.txt"], Reading())
    assert [len(part) for part in found.parts] == [2, 1]
    assert in_words(["b", "a.txt", "c"]) == "b and 2 more"


def test_a_circle_of_links_is_walked_once(folder):
    (folder / "b" / "again").symlink_to(folder, target_is_directory=True)
    assert len(texts(".")) == 4
    (folder / "b" / "loop.txt").symlink_to("loop.txt")
    with pytest.raises(UserError, match=r"loop\.txt: cannot read this file: Too many"):
        texts(".")


@pytest.mark.skipif(os.sep != "/", reason="such names need a Unix file system")
def test_a_name_that_is_no_utf8_is_shown_in_escapes(folder):
    with open(os.fsencode(folder) + b"/\xff.txt", "wb") as file:
        file.write(b"inside\n")
    found = read_documents(".", Reading())
    assert r"\udcff.txt" in [document.name.rpartition("/")[2] for document in found.every]


@pytest.mark.parametrize("packing", PACKED)
def test_a_packed_file_is_read_and_a_cut_one_is_named(tmp_path, packing):
    path = tmp_path / f"log.jsonl.{packing}"
    path.write_bytes(packed := PACKED[packing](lines(RECORDS * 99)))
    assert texts(str(path)) == TEXTS * 99
    path.write_bytes(packed[:-9])
    with pytest.raises(UserError, match=rf"log\.jsonl\.{packing}: cannot read this file: "):
        texts(str(path))


def test_records_in_json_and_tables(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps([*RECORDS, "drei"]), encoding="utf-8")
    assert texts(str(tmp_path / "a.json")) == [*TEXTS, "drei"]
    (tmp_path / "a.csv").write_text('n,text\n1,"a,\nb"\n2,\n3,c\n', encoding="utf-8-sig")
    assert texts(str(tmp_path / "a.csv")) == ["a,\nb", "c"]
    (tmp_path / "a.tsv").write_text("n\tbody\n1\tx y\n", encoding="utf-8")
    assert texts(str(tmp_path / "a.tsv"), text_field="body") == ["x y"]
    assert texts(str(tmp_path / "a.tsv"), text_field=None) == ["n\tbody\n1\tx y\n"]


def test_parquet_html_word_and_books_give_their_text_alone(tmp_path):
    arrow, docx = pytest.importorskip("pyarrow"), pytest.importorskip("docx")
    pytest.importorskip("inscriptis")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table({"n": [1, 2], "text": TEXTS}), tmp_path / "a.parquet")
    assert texts(str(tmp_path / "a.parquet")) == TEXTS
    page = "<html><head><title>no</title></head><body><p>A <b>bold</b> word.</p><p>B</p></body>"
    (tmp_path / "a.html").write_text(page, encoding="utf-8")
    (text,) = texts(str(tmp_path / "a.html"))
    assert [line for line in text.split("\n") if line] == ["A bold word.", "B"]
    document = docx.Document()
    document.add_paragraph("first")
    document.add_paragraph("second")
    document.save(str(tmp_path / "a.docx"))
    assert texts(str(tmp_path / "a.docx")) == ["first\nsecond\n"]
    write_book(tmp_path / "a.epub", {"two.xhtml": page, "one.xhtml": "<p>One.</p>"})
    (book,) = texts(str(tmp_path / "a.epub"))
    assert book.index("One.") < book.index("A bold word.")


def write_book(path, pages):
    import zipfile

    items = "".join(
        f'<item id="i{n}" href="{name}" media-type="application/xhtml+xml"/>'
        for n, name in enumerate(pages)
    )
    spine = "".join(f'<itemref idref="i{n}"/>' for n in reversed(range(len(pages))))
    package = f'<package xmlns="http://www.idpf.org/2007/opf"><manifest>{items}</manifest>'
    with zipfile.ZipFile(path, "w") as book:
        place = '<container><rootfiles><rootfile full-path="OPS/p.opf"/></rootfiles></container>'
        book.writestr("META-INF/container.xml", place)
        book.writestr("OPS/p.opf", f"{package}<spine>{spine}</spine></package>")
        for name, text in pages.items():
            book.writestr(f"OPS/{name}", text)


def test_another_encoding_is_read_and_a_wrong_one_gets_a_proposal(tmp_path):
    path = tmp_path / "alt.txt"
    text = "Der Müller mahlt für das süße Mädchen grobes Korn, und es wäre schöner so. " * 9
    path.write_bytes(text.encode("cp1252"))
    (tmp_path / "b.txt").write_text("b", encoding="utf-8")
    assert texts([str(path)], encoding="cp1252") == [text]
    with pytest.raises(UserError, match=r"alt.txt: not UTF-8 at byte 5 .*charset-normalizer "):
        texts(str(tmp_path))
    wide = tmp_path / "wide"
    wide.mkdir()
    (wide / "w.txt").write_bytes("breit\r\n".encode("utf-16"))
    assert texts(str(wide), encoding="utf-16") == ["breit\n"]


def test_bad_files_and_records_are_skipped_as_a_whole_and_counted(tmp_path, caplog):
    good, bad = tmp_path / "1.jsonl", tmp_path / "2.jsonl.gz"
    good.write_bytes(lines([RECORDS[0], {"body": "x"}, {"text": 5}, RECORDS[1]]) + b"{\n")
    bad.write_bytes(gzip.compress(lines(RECORDS * 999))[:-20])
    (tmp_path / "3.txt").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(UserError, match=r"1.jsonl, line 2: has no field 'text' \(it has body\)"):
        texts(str(tmp_path))
    found = read_documents(str(tmp_path), Reading(skip_bad_files=True))
    assert [document.text for document in found.every] == TEXTS
    assert found.faults.note == ", 2 bad files and 3 bad records left out"
    assert "2.jsonl.gz" in caplog.text
    assert "1.jsonl, line 2" in caplog.text


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("empty", "the folder is empty"),
        ("*.nothing", "no file matches this pattern"),
        ("no.jsonl", "no such text file"),
        ("none.txt.gz", "has no text"),
    ],
)
def test_what_names_no_text_is_an_error(tmp_path, monkeypatch, name, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "none.txt.gz").write_bytes(gzip.compress(b""))
    with pytest.raises(UserError, match=message):
        texts(name)


def test_a_missing_package_is_named_with_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match="needs the package pyarrow: pip install -r requirements-"):
        texts(str(tmp_path), skip_bad_files=True)
