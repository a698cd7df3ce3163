"""The texts of a corpus by split are those of its training, in memory and from files alike."""

import json
from pathlib import Path

import pytest

from transformer.data import placed_texts as module
from transformer.data.placed_texts import TextsInFiles, TextsInMemory, placed_texts
from transformer.data.reading import read_text_corpus
from transformer.data.text.documents import TRAIN, VAL
from transformer.data.text.settings import TextSettings
from transformer.data.token_files import units
from transformer.data.tokenizer_choice import TokenizerChoice

LINES = [f"line {n} of \u00e9{'x' * (n % 7)}" for n in range(300)]


def written(folder, kind):
    """A corpus, and the keys by which it is read."""
    if kind == "text":
        path = folder / "a.txt"
        path.write_text("\n".join(LINES), encoding="cp1252")
        return str(path), {"encoding": "cp1252"}
    if kind == "long text":
        path = folder / "a.txt"
        path.write_text(
            "\n".join(["- header -", *LINES, "- header -", *LINES, "- header -"]), encoding="utf-8"
        )
        return str(path), {"drop_lines_seen": 3, "test_fraction": 0.1}
    (folder / "books").mkdir()
    records = [
        json.dumps({"body": "- header -\n" + "\n".join(LINES[n : n + 9])}) for n in range(40)
    ]
    (folder / "books/a.jsonl").write_text("\n".join([*records, ""]), encoding="utf-8")
    (folder / "books/b.txt").write_text("- header -\nAnother text.\n", encoding="utf-8")
    return str(folder / "books"), {"text_field": "body", "drop_lines_seen": 41}


@pytest.mark.parametrize("kind", ["text", "long text", "folder"])
def test_splits_lines_and_digests_are_those_of_training(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(units, "UNIT_BYTES", 1000)
    path, keys = written(tmp_path, kind)
    settings = TextSettings(block_size=8, **keys)
    choice = TokenizerChoice(cache_dir=str(tmp_path / "cache"))
    in_memory = placed_texts(path, settings, choice)
    monkeypatch.setattr(module, "_IN_MEMORY_MB", 0.0)
    in_files = placed_texts(path, settings, choice)
    assert isinstance(in_memory, TextsInMemory)
    assert isinstance(in_files, TextsInFiles)
    corpus = read_text_corpus(path, settings, choice, build=False)
    assert in_memory.sha256 == in_files.sha256 == corpus.sha256
    assert in_memory.num_characters == in_files.num_characters
    for split, tokens in ((TRAIN, corpus.train), (VAL, corpus.val)):
        documents: list[str] = []
        for one in in_files.texts(split):
            documents += [] if one.continues else [""]
            documents[-1] += one.text
        assert documents == [one.text for one in in_memory.texts(split)]
        separator = settings.separator if kind == "folder" else ""
        assert corpus.tokenizer.decode(tokens) == separator.join(documents)
        length = sum(map(len, documents))
        for texts in (in_memory, in_files):
            assert sum(map(len, texts.sample(split, 10**6))) == length
        assert sum(map(len, in_files.sample(split, 100))) == 100
    for texts in (in_memory, in_files):
        for one in texts.texts(TRAIN):
            first, *_ = one.text.split("\n")
            assert first in line_of(texts.line_in_file(one.file, one.record, one.line), one, keys)


def line_of(number, one, keys):
    """A line of a file, or of a record's text."""
    data = Path(one.file).read_bytes()
    if one.record:  # `line 3` or `line 3 after byte 1,061`
        record, *after = [
            int(word) for word in one.record.replace(",", "").split() if word.isdigit()
        ]
        data = json.loads(data[sum(after) :].split(b"\n")[record - 1])["body"].encode()
    text = data.decode(keys.get("encoding", "utf-8"))
    return text.split("\n")[number - 1]
