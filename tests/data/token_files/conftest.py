"""A corpus for the tests of token files, in small units."""

import gzip
import json

import pytest

from tests.data.token_files.corpora import LINES
from transformer.data.token_files import units


@pytest.fixture
def batch_bytes():
    return 1


@pytest.fixture
def corpora(tmp_path, monkeypatch, batch_bytes):
    """A long file, a folder and a file of records, in units of 2,000 bytes."""
    monkeypatch.setattr(units, "UNIT_BYTES", 2_000)
    monkeypatch.setattr("transformer.data.token_files.preparing.BATCH_BYTES", batch_bytes)
    (tmp_path / "one.txt").write_text("\ufeff" + "".join(LINES), encoding="utf-8", newline="")
    (tmp_path / "many").mkdir()
    for number in range(23):
        text = "".join(LINES[number * 40 : number * 40 + 41])
        (tmp_path / f"many/{number:02}.txt").write_text(text, encoding="utf-8", newline="")
    with gzip.open(tmp_path / "packed.txt.gz", "wt", encoding="utf-8", newline="") as file:
        file.write("\ufeff" + "".join(LINES))
    records = (json.dumps({"text": line}) + "\n" for line in LINES)
    (tmp_path / "records.jsonl").write_text("".join(records), encoding="utf-8")
    return tmp_path
