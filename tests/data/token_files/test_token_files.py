"""Token files hold what is otherwise held in memory, and nothing half-written counts as whole."""

import io
import json
import zlib
from itertools import islice
from types import SimpleNamespace

import numpy as np
import pytest

from tests.data.token_files.corpora import folder_of, read
from transformer.data.text.datamodule import CharacterDataModule
from transformer.data.token_files import checksums, encoding, index, joining
from transformer.data.token_files.index import TokenFiles
from transformer.system.errors import UserError


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


@pytest.mark.parametrize("batch_bytes", [1, 10**9])
def test_each_block_of_the_file_has_its_checksum(corpora, monkeypatch, batch_bytes):
    monkeypatch.setattr(checksums, "_BLOCK", 1000)
    monkeypatch.setattr("transformer.data.token_files.preparing.BATCH_BYTES", batch_bytes)
    corpus = read(corpora, "many", token_files_from_mb=0.0)
    folder = folder_of(corpora)
    found = json.loads((folder / "index.json").read_text(encoding="utf-8"))["checksums"]
    data = io.BytesIO(corpus.tokens.tobytes())
    assert [zlib.crc32(data.read(size)) for size, _ in found] == [wanted for _, wanted in found]
    assert len(found) > 2
    assert not data.read()
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


@pytest.mark.parametrize("damaged", [False, True])
def test_a_start_after_a_kill_at_the_end_uses_what_was_joined(corpora, monkeypatch, damaged):
    monkeypatch.setattr("transformer.data.token_files.preparing.BATCH_BYTES", 1)
    whole = read(corpora, "many", token_files_from_mb=0.0).tokens.tobytes()
    index.remove(folder_of(corpora))

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(TokenFiles, "written", killed)
        with pytest.raises(KeyboardInterrupt):
            read(corpora, "many", token_files_from_mb=0.0)
    assert TokenFiles.found(folder_of(corpora)) is None
    (joined,) = folder_of(corpora).glob("*/joined")
    assert joined.read_bytes() == whole
    if damaged:
        middle = len(whole) // 2
        joined.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    made = []

    def count(batch, *arguments):
        made.append(batch.number)
        return encoding.encode_batch(batch, *arguments)

    monkeypatch.setattr("transformer.data.token_files.preparing.encode_batch", count)
    assert read(corpora, "many", token_files_from_mb=0.0).tokens.tobytes() == whole
    assert len(made) in (range(5, 20) if damaged else [0])


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

    monkeypatch.setattr(joining.Joining, "add", full)
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
