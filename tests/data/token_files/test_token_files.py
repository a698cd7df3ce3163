"""Token files hold what is otherwise held in memory, and nothing half-written counts as whole."""

import gzip
import json
import zlib
from itertools import islice
from types import SimpleNamespace

import numpy as np
import pytest

from transformer.data.reading import read_text_corpus
from transformer.data.text.datamodule import CharacterDataModule
from transformer.data.text.settings import TextSettings
from transformer.data.token_files import encoding, index, units
from transformer.data.token_files.index import TokenFiles
from transformer.data.tokenizer_choice import TokenizerChoice
from transformer.system.errors import UserError

LINES = [f"line {number}: " + "abc é " * (number % 7) + "\r\n" for number in range(997)]
LINES[::50] = ["  - header -\r\n"] * 20


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


def read(corpora, path, tokenizer="bytes", given=None, **keys):
    settings = TextSettings(block_size=5, tokenizer=tokenizer, **keys)
    recall = (lambda: given) if given else None
    size = 300 if tokenizer == "bpe" else "auto"
    choice = TokenizerChoice(
        tokenizer=tokenizer, vocab_size=size, cache_dir=str(corpora / "cache"), recall=recall
    )
    paths = [str(corpora / one) for one in path.split()]
    return read_text_corpus(paths if len(paths) > 1 else paths[0], settings, choice, build=False)


@pytest.mark.parametrize("batch_bytes", [1, 5_000, 10**9])
@pytest.mark.parametrize("tokenizer", ["characters", "bytes", "bpe"])
@pytest.mark.parametrize(
    "path", ["one.txt", "many", "records.jsonl", "many one.txt", "packed.txt.gz many"]
)
def test_files_have_the_ids_splits_and_facts_that_are_held_in_memory_otherwise(
    corpora, path, tokenizer
):
    keys = {"test_fraction": 0.1}
    if " " in path:
        keys["data_weights"] = [0.5, 1.5]
    held = read(corpora, path, tokenizer, **keys)
    given = held.tokenizer if tokenizer == "bpe" else None
    filed = read(corpora, path, tokenizer, given, token_files_from_mb=0.0, **keys)
    assert filed.tokens.dtype == (np.uint8 if tokenizer == "characters" else np.uint16)
    assert np.array_equal(filed.train, held.train)
    assert np.array_equal(filed.val, held.val)
    assert np.array_equal(filed.test, held.test)
    assert [tuple(part) for part in filed.mix] == [tuple(part) for part in held.mix]
    assert filed.val_size == held.tokenizer.size(held.val[1:])
    assert {key: held.facts[key] for key in filed.facts} == filed.facts


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


def test_each_block_of_the_joined_parts_has_its_checksum(corpora, monkeypatch):
    monkeypatch.setattr(index, "_BLOCK", 1000)
    corpus = read(corpora, "many", token_files_from_mb=0.0)
    folder = folder_of(corpora)
    sums = json.loads((folder / "index.json").read_text(encoding="utf-8"))["checksums"]
    data = corpus.tokens.tobytes()
    assert sums == [zlib.crc32(data[at : at + 1000]) for at in range(0, len(data), 1000)]
    assert TokenFiles.found(folder, whole=True) is not None


def test_token_files_of_another_version_are_made_anew(corpora, monkeypatch):
    first = read(corpora, "many", token_files_from_mb=0.0)
    monkeypatch.setattr("transformer.data.token_files.listing.VERSION", -1)
    monkeypatch.setattr("transformer.data.token_files.preparing.VERSION", -1)
    second = read(corpora, "many", token_files_from_mb=0.0)
    assert np.array_equal(first.tokens, second.tokens)
    assert sum(path.is_dir() for path in (corpora / "cache/tokens").iterdir()) == 2


@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_the_order_of_chunks_is_the_pure_one_also_after_a_resume(corpora, world_size, num_workers):
    """On any number of ranks and workers: chunk n of the run is chunk `positions(n)`."""
    corpus = read(corpora, "many one.txt", data_weights=[1, 2], token_files_from_mb=0.0)
    sizes = {"block_size": 5, "batch_size": 6 // world_size}

    def chunks(consumed, count):
        loaders = []
        for rank in range(world_size):
            data = CharacterDataModule(
                "none.txt", corpus=corpus, num_workers=num_workers, seed=3, endless=True,
                **sizes,
            )  # fmt: skip
            data.load_state_dict({"examples_consumed": consumed})
            loop = SimpleNamespace(batch_idx=-1, total_batch_idx=-1)
            place = {"world_size": world_size, "global_rank": rank, "overfit_batches": 0}
            data.trainer = SimpleNamespace(fit_loop=loop, **place)
            loaders.append(data.train_dataloader())
        steps = list(islice(zip(*loaders, strict=True), count))
        for loader in loaders:
            if num_workers:
                loader._iterator._shutdown_workers()
        return [chunk for step in steps for inputs, _ in step for chunk in inputs.tolist()], data

    found, data = chunks(0, 40)
    starts = data.order.positions(0, 40 * 6)
    assert found == [corpus.tokens[start : start + 5].tolist() for start in starts.tolist()]
    assert chunks(13 * 6, 27)[0] == found[13 * 6 :]


def folder_of(corpora):
    (found,) = [path for path in (corpora / "cache/tokens").iterdir() if path.is_dir()]
    return found


def test_the_next_start_reads_no_file_again_and_a_changed_file_is_seen(corpora, monkeypatch):
    first = read(corpora, "many", token_files_from_mb=0.0)
    with monkeypatch.context() as patch:
        patch.setattr("transformer.data.token_files.surveyed.survey_file", None)
        patch.setattr("transformer.data.token_files.preparing.encode_batch", None)
        assert np.array_equal(read(corpora, "many", token_files_from_mb=0.0).tokens, first.tokens)
    (corpora / "many/05.txt").write_text("something else", encoding="utf-8")
    second = read(corpora, "many", token_files_from_mb=0.0)
    assert second.sha256 != first.sha256
    changed = [
        name for name, one in first.facts["files"].items() if second.facts["files"][name] != one
    ]
    assert [name.rpartition("/")[2] for name in changed] == ["05.txt"]


@pytest.mark.parametrize("after", [0, 3, 11, 22])
def test_a_start_after_a_kill_goes_on_with_the_units_that_are_done(corpora, monkeypatch, after):
    done = []

    def encode(batch, *arguments):
        if len(done) == after:
            raise KeyboardInterrupt
        done.append(batch.number)
        return encoding.encode_batch(batch, *arguments)

    whole = read(corpora, "many", token_files_from_mb=0.0).tokens.tobytes()
    index.remove(folder_of(corpora))
    with monkeypatch.context() as patch:
        patch.setattr("transformer.data.token_files.preparing.encode_batch", encode)
        with pytest.raises(KeyboardInterrupt):
            read(corpora, "many", token_files_from_mb=0.0)
    assert TokenFiles.found(folder_of(corpora)) is None
    made = []

    def count(unit, *arguments):
        made.append(unit)
        yield from segments(unit, *arguments)

    segments = encoding.segments
    monkeypatch.setattr(encoding, "segments", count)
    assert read(corpora, "many", token_files_from_mb=0.0).tokens.tobytes() == whole
    assert len(made) == 23 - after


def test_damaged_and_cut_files_are_made_again(corpora):
    whole = read(corpora, "many", token_files_from_mb=0.0).tokens.tobytes()
    path = folder_of(corpora) / "tokens.bin"
    for damaged in (whole[:-2], b"\7" + whole[1:]):
        path.write_bytes(damaged)
        assert TokenFiles.found(path.parent) is None
        assert read(corpora, "many", token_files_from_mb=0.0).tokens.tobytes() == whole


def test_a_full_disk_is_one_clear_error_and_leaves_nothing_that_counts(corpora, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(index, "_join", full)
    with pytest.raises(UserError, match=r"cannot write the token files: No space left.*make room"):
        read(corpora, "many", token_files_from_mb=0.0)
    assert TokenFiles.found(folder_of(corpora)) is None


def test_a_bad_file_among_many_is_named_or_skipped(corpora):
    (corpora / "many/07.txt").write_bytes(b"\xff" * 3000)
    with pytest.raises(UserError, match=r"07\.txt: not UTF-8 at byte 0"):
        read(corpora, "many", "characters", token_files_from_mb=0.0)
    corpus = read(corpora, "many", "characters", token_files_from_mb=0.0, skip_bad_files=True)
    assert corpus.facts["num_documents"] == 22
    assert "1 bad file left out" in corpus.note
