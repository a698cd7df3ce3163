"""What a model recites, through the command line: --mark_copied and --copied."""

import json

import pytest

import evaluate
import generate
import train
from tests.command_line.conftest import TEXT, TINY
from transformer.system.errors import UserError

TRAINED = TEXT[: int(len(TEXT) * 0.9)]
WRITE = ("--prompt", "To ", "--seed", 1, "--max_new_tokens", 60, "--mark_copied")


@pytest.fixture
def model(finished):
    return finished.folder / "model.safetensors"


def copied_characters(text, least):
    """A naive search in the training split."""
    found = set()
    for start in range(len(text) - least + 1):
        if text[start : start + least] in TRAINED:
            found |= {*range(start, start + least)}
    return found


def test_marks_are_around_what_the_training_split_has(call, model, capsys):
    (plain,) = (call(generate, model, *WRITE[:-1]),)
    out = call(generate, model, *WRITE, "--min_copied", 4)
    assert out.replace("[[", "").replace("]]", "") == plain
    written, at, inside, found = plain.removeprefix("To "), -3, False, set()
    for part in out.replace("[[", "\0").replace("]]", "\1"):
        if part in "\0\1":
            inside = part == "\0"
            continue
        found |= {at} if inside else set()
        at += 1
    assert found == copied_characters(written.rstrip("\n"), 4)
    assert found  # or this shows nothing


def test_json_gives_each_passage_with_its_place(call, model):
    out = call(generate, model, *WRITE, "--min_copied", 4, "--num_samples", 3, "--json")
    for line in out.splitlines():
        sample = json.loads(line)
        text, copied = sample["text"], sample["copied"]
        marked = copied_characters(text, 4)
        assert copied["copied"] == len(marked)
        assert copied["share"] == len(marked) / len(text)
        assert copied["held_out"]["characters"] == len(TEXT) - len(TRAINED)
        for one in copied["passages"]:
            start, end = one["start"], one["start"] + one["length"]
            assert text[start:end] in TRAINED
            assert text[start : end + 1] not in TRAINED or end == len(text)
            assert one["file"] == "hamlet.txt"
            assert text[start:end].split("\n")[0] in TEXT.split("\n")[one["line"] - 1]
        lengths = [one["length"] for one in copied["passages"]]
        assert max(lengths, default=None) == (copied["longest"] or {"length": None})["length"]


def test_an_evaluation_writes_and_compares_with_held_out_text(call, model):
    flags = ("--copied", "--num_characters", 500, "--min_copied", 4, "--seed", 2)
    report = json.loads(call(evaluate, model, *flags, "--json"))
    assert sum(map(len, report["samples"])) == report["written"]["characters"] == 500
    found = [len(copied_characters(text, 4)) for text in report["samples"]]
    assert report["written"]["copied"] == sum(found)
    held_out = copied_characters(TEXT[len(TRAINED) :], 4)
    assert report["held_out"]["copied"] == len(held_out)
    table = call(evaluate, model, *flags)
    assert "temperature 0.8, seed 2" in table
    assert f"{100 * sum(found) / 500:.2f} %" in table
    assert f"{100 * len(held_out) / (len(TEXT) - len(TRAINED)):.2f} %" in table


BAD = [
    (("--min_copied", 0), "min_copied must be at least 1"),
    (("--min_copied", 5000), "no text of its training split has --min_copied 5000"),
    (("--num_characters", 7), "--num_characters 7 is less than --min_copied 30"),
    (("--split", "all"), "leave --split out"),
    (("--data_path", "nowhere.txt"), "nowhere.txt: no such text file"),
]


@pytest.mark.parametrize(("flags", "message"), BAD)
def test_bad_flags_are_one_clear_line(short_runs, model, flags, message):
    with pytest.raises(UserError, match=message):
        evaluate.main([str(model), "--copied", *map(str, flags)])


@pytest.mark.parametrize(("script", "flag"), [(evaluate, "--copied"), (generate, "--mark_copied")])
def test_another_or_a_missing_corpus_is_named_with_the_way_out(call, model, tmp_path, script, flag):
    own = tmp_path / "hamlet.txt"
    own.rename(tmp_path / "moved.txt")
    with pytest.raises(UserError, match=r"is missing: .* give its path with --data_path"):
        script.main([str(model), flag])
    assert call(script, model, flag, "--data_path", "moved.txt")
    own.write_text(TEXT + "More.\n", encoding="utf-8")
    sha256 = "its sha256 is [0-9a-f]{12}, that of the training data [0-9a-f]{12}"
    with pytest.raises(UserError, match=f"{sha256}: .*--data_path"):
        script.main([str(model), flag])
    assert call(script, model, flag, "--data_path", "hamlet.txt")


def test_a_folder_of_cleaned_records_is_read_as_training_read_it(call, tmp_path):
    (tmp_path / "books").mkdir()
    lines = TEXT.splitlines()
    for part in range(24):
        body = "\n".join(["- Hamlet -", *lines[part : part + 12]]).replace("e", "\u00e9")
        record = json.dumps({"body": body}, ensure_ascii=False) + "\n"
        (tmp_path / f"books/{part:02}.jsonl").write_bytes(("\n" + record).encode("cp1252"))
    keys = ("--text_field", "body", "--encoding", "cp1252", "--drop_lines_seen", 24)
    tiny = ("--config", "tiny.yaml", "--data_path", "books", "--max_steps", 2)
    call(train, *tiny, *keys, "--tokenizer", "bytes")
    report = json.loads(call(evaluate, "--copied", "--num_characters", 300, "--json"))
    longest = report["held_out"]["longest"]
    body = json.loads((tmp_path / longest["file"]).read_text("cp1252").split("\n")[1])["body"]
    assert longest["record"] == "line 2"
    assert longest["text"].split("\n")[0] in body.split("\n")[longest["line"] - 1]
    assert longest["text"] in body
    assert report["comparison"] is None


def test_a_model_of_pairs_refuses(call, tmp_path):
    pairs = "".join(f"{n}\t{str(n)[::-1]}\n" for n in range(100, 300))
    (tmp_path / "pairs.tsv").write_text(pairs, encoding="utf-8")
    tiny = TINY.replace('sample_prompt: "To "', "model: encoder_decoder").replace(
        "hamlet.txt", "pairs.tsv"
    )
    (tmp_path / "pairs.yaml").write_text(tiny, encoding="utf-8")
    call(train, "--config", "pairs.yaml", "--max_steps", 1)
    for script, flag in ((evaluate, "--copied"), (generate, "--mark_copied")):
        with pytest.raises(UserError, match=f"{flag} does not apply to a model of pairs"):
            script.main([flag])
