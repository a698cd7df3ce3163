"""Token files of texts that are cleaned, packed or odd hold what memory would hold."""

import gzip
import json

import numpy as np
import pytest

from tests.data.token_files.corpora import LINES, folder_of, read
from transformer.data.token_files import encoding, units
from transformer.system.errors import UserError


@pytest.mark.parametrize("path", ["one.txt", "many", "records.jsonl", "packed.txt.gz many"])
@pytest.mark.parametrize(
    "keys",
    [
        {"drop_lines_seen": 15},
        {"replace_rare": 600},
        {"drop_duplicates": True, "replace_rare": 700},
    ],
)
def test_files_are_cleaned_as_texts_in_memory_are(corpora, path, keys):
    (corpora / "many/99.txt").write_text("".join(LINES[40:81]), encoding="utf-8")
    held = read(corpora, path, **keys)
    filed = read(corpora, path, token_files_from_mb=0.0, **keys)
    assert np.array_equal(filed.tokens, held.tokens)
    assert {key: held.facts[key] for key in filed.facts} == filed.facts
    assert not np.array_equal(held.tokens, read(corpora, path).tokens)
    changed = "recurring line left out" if "drop_lines_seen" in keys else "replaced"
    assert changed in filed.note
    assert changed in held.note
    again = read(corpora, path, token_files_from_mb=0.0, **keys)
    assert np.array_equal(again.tokens, held.tokens)


def test_a_start_after_a_kill_takes_no_part_that_was_cut_in_another_way(corpora, monkeypatch):
    """The same text may be in packed files by then, of which more fit into one batch."""
    monkeypatch.setattr("transformer.data.token_files.preparing.BATCH_BYTES", 1_500)
    whole = read(corpora, "many").tokens
    calls = []

    def encode(batch, *arguments):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(batch)
        return encoding.encode_batch(batch, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr("transformer.data.token_files.preparing.encode_batch", encode)
        with pytest.raises(KeyboardInterrupt):
            read(corpora, "many", token_files_from_mb=0.0)
    for path in (corpora / "many").iterdir():
        packed = path.with_suffix(".txt.gz")
        packed.write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert np.array_equal(read(corpora, "many", token_files_from_mb=0.0).tokens, whole)
    assert not list(folder_of(corpora).glob("parts*"))


def test_a_text_of_which_cleaning_leaves_nothing_is_no_document(corpora):
    for number in range(2):
        (corpora / f"many/z{number}.txt").write_text("  - header -\n" * 400, encoding="utf-8")
    held = read(corpora, "many", drop_lines_seen=100)
    filed = read(corpora, "many", token_files_from_mb=0.0, drop_lines_seen=100)
    assert filed.facts["num_documents"] == held.facts["num_documents"] == 23
    assert filed.sha256 == held.sha256
    assert np.array_equal(filed.tokens, held.tokens)
    only = f"many/z{0}.txt"
    for least in (0.0, 64.0):
        with pytest.raises(UserError, match="has no text"):
            read(corpora, only, token_files_from_mb=least, drop_lines_seen=100)


def test_lines_of_many_files_are_counted_with_few_files_open(corpora):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    for number in range(150):
        (corpora / f"many/{number:03}.txt").write_text(f"- top -\n{number}\n", encoding="utf-8")
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, before[1]))
    try:
        corpus = read(corpora, "many", token_files_from_mb=0.0, drop_lines_seen=100)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert "1 recurring line left out" in corpus.note


def test_lines_without_a_text_field_are_plain_text_however_long(corpora):
    held = read(corpora, "records.jsonl", text_field=None)
    filed = read(corpora, "records.jsonl", text_field=None, token_files_from_mb=0.0)
    assert np.array_equal(filed.tokens, held.tokens)


@pytest.mark.parametrize("end", [b"\xc3", b"\xff\n", b"\xc3\n"])
def test_a_long_file_with_bytes_that_are_no_utf8_is_read_or_named_by_its_byte(corpora, end):
    data = b"line\n" * 1000 + end
    (corpora / "odd.txt").write_bytes(data)
    corpus = read(corpora, "odd.txt", "bytes", token_files_from_mb=0.0)
    assert bytes(corpus.tokens.tolist()) == data
    with pytest.raises(UserError, match=r"not UTF-8 at byte 5,?000"):
        read(corpora, "odd.txt", "characters", token_files_from_mb=0.0)


def test_a_packed_text_is_unpacked_in_blocks(corpora, monkeypatch):
    read_at_once = []

    def at_once(path, *arguments):
        read_at_once.append(path)
        return iter(())

    monkeypatch.setattr(units, "checked", at_once)
    corpus = read(corpora, "packed.txt.gz", token_files_from_mb=0.0)
    assert read_at_once == []
    assert bytes(corpus.tokens.tolist()) == "".join(LINES).replace("\r\n", "\n").encode()


def test_a_long_packed_text_that_breaks_off_is_left_out_as_a_whole(corpora):
    whole = read(corpora, "many").tokens
    data = (corpora / "packed.txt.gz").read_bytes()
    (corpora / "many/packed.txt.gz").write_bytes(data[:-100])
    with pytest.raises(UserError, match=r"packed\.txt\.gz: cannot read this file"):
        read(corpora, "many", token_files_from_mb=0.0)
    kept = read(corpora, "many", token_files_from_mb=0.0, skip_bad_files=True)
    assert "1 bad file left out" in kept.note
    assert np.array_equal(kept.tokens, whole)


@pytest.mark.parametrize("last", ["\n", ""])
@pytest.mark.parametrize("length", [500, 30_000])
def test_no_record_is_cut_however_long_and_without_a_last_line_end(
    corpora, monkeypatch, length, last
):
    monkeypatch.setattr(units, "_LOOKED_AT", 300)
    records = [json.dumps({"text": f"{number} " * (length // 4)}) for number in range(20, 40)]
    (corpora / "long.jsonl").write_text("\n".join(records) + last, encoding="utf-8")
    held = read(corpora, "long.jsonl")
    filed = read(corpora, "long.jsonl", token_files_from_mb=0.0)
    assert filed.facts["num_documents"] == 20
    assert np.array_equal(filed.train, held.train)
    assert np.array_equal(filed.val, held.val)
