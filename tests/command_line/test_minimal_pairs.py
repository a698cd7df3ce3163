"""evaluate.py --minimal_pairs through the command line."""

import json

import pytest

import evaluate
import generate
import train
from tests.command_line.conftest import TEXT
from transformer.data.tokenizers.pairs import PairTokenizer, UnitTokenizer
from transformer.models import build_model
from transformer.storage.model_file import save_model
from transformer.system.errors import UserError

PAIRS = """\
To be, or not to be\tTo be, or to not be\torder
The insolence of office\tThe insolence office of\torder
the law's delay\tthe laws delay\tmarks
To sleep\tTo sleep\tmarks
"""


@pytest.fixture
def model(finished):
    return finished.folder / "model.safetensors"


@pytest.fixture
def pairs(tmp_path, short_runs):
    (tmp_path / "pairs.tsv").write_text(PAIRS, encoding="utf-8")
    return "pairs.tsv"


def test_each_sum_is_the_loss_of_the_sentence_after_a_line_end(call, model, tmp_path):
    """As evaluate.py gives it for a file with the line end and the sentence."""
    sentences = ["To be, or not", "To be, not or to"]  # not longer than block_size
    (tmp_path / "pairs.tsv").write_text("\t".join(sentences), encoding="utf-8")
    report = json.loads(call(evaluate, model, "--minimal_pairs", "pairs.tsv", "--json"))
    assert report["begin"] == "\n"
    (pair,) = report["each_pair"]
    for place, sentence in enumerate(sentences):
        (tmp_path / "one.txt").write_text(f"\n{sentence}", encoding="utf-8")
        alone = json.loads(call(evaluate, model, "--data_path", "one.txt", "--json"))
        score = alone["scores"]["model"]
        assert pair["num_scored"][place] == len(sentence) == score["num_scored"]
        total = -score["loss"] * score["num_scored"]
        assert pair["log_probabilities"][place] == pytest.approx(total, rel=1e-5)


def test_the_table_names_models_phenomena_and_ties(call, model, pairs):
    table = call(evaluate, model, "--minimal_pairs", pairs)
    report = json.loads(call(evaluate, model, "--minimal_pairs", pairs, "--json"))
    assert "on pairs.tsv (4 pairs)" in table
    assert "bigram counts in the model's training split" in table
    assert "ties of the model by the sum: 1, in lines 4" in table
    assert "ties of the bigram by the mean: 2, in lines 1, 4" in table  # its letters change places
    assert report["scores"]["model"]["ties"] == {"sum": [4], "mean": [4]}
    for name, score in report["scores"].items():
        for kind in ("sum", "mean"):
            found = score[kind]["all"]
            low, high = found["interval"]
            shown = f"{100 * found['accuracy']:.1f} ({100 * low:.1f} to {100 * high:.1f})"
            (row,) = (line for line in table.splitlines() if line.startswith(f"{name}  "))
            assert shown in row
    rows = [line.split()[:2] for line in table.splitlines() if line.startswith(("order", "marks"))]
    assert rows == [["marks", "2"], ["order", "2"]]


def test_without_the_training_data_no_bigram_stands_beside(call, model, pairs, tmp_path):
    (tmp_path / "hamlet.txt").write_text(TEXT + "More.\n", encoding="utf-8")
    table = call(evaluate, model, "--minimal_pairs", pairs)
    assert "No bigram beside it" in table
    assert "bigram  " not in table


def test_unknown_characters_need_skip_unknown(call, model, tmp_path):
    (tmp_path / "pairs.tsv").write_text("To be\tbe To\nTo b\u00e9\tTo be\n", encoding="utf-8")
    flags = (str(model), "--minimal_pairs", "pairs.tsv")
    with pytest.raises(UserError, match=r"^pairs.tsv:2: the model never saw '\u00e9'.*--skip_unk"):
        evaluate.main(list(flags))
    table = call(evaluate, *flags, "--skip_unknown")
    assert "(2 pairs, 1 unknown characters skipped)" in table


@pytest.mark.parametrize("flag", [("--copied",), ("--split", "all"), ("--data_path", "pairs.tsv")])
def test_flags_of_other_reports_are_refused(model, pairs, flag):
    with pytest.raises(UserError, match=f"reads a file of its own: leave {flag[0]} out"):
        evaluate.main([str(model), "--minimal_pairs", pairs, *flag])


def test_sentences_follow_the_end_of_a_document_where_a_model_saw_documents(call, tmp_path, pairs):
    (tmp_path / "books").mkdir()
    for part in range(24):
        text = "\n".join(TEXT.splitlines()[part : part + 9])
        (tmp_path / f"books/{part:02}.txt").write_text(text, encoding="utf-8")
    keys = ("--data_path", "books", "--tokenizer", "bytes", "--max_steps", 2)
    call(train, "--config", "tiny.yaml", *keys)
    report = json.loads(call(evaluate, "--minimal_pairs", pairs, "--json"))
    assert report["begin"] == "<|endoftext|>"
    assert set(report["scores"]) == {"model", "bigram"}


def test_an_encoder_decoder_is_refused_by_name(tmp_path, pairs):
    side = UnitTokenizer("characters", list("abc"))
    sizes = {"embedding_dim": 6, "num_heads": 2, "num_blocks": 1, "block_size": 7}
    tokenizer = PairTokenizer(side, side)
    model = build_model("encoder_decoder", **tokenizer.sizes, **sizes)
    metadata = {"architecture": model.architecture, "tokenizer": tokenizer.state}
    path = str(tmp_path / "model.safetensors")
    save_model(path, model, metadata)
    with pytest.raises(UserError, match=r"does not apply to a model of pairs \(encoder_decoder\)"):
        evaluate.main([path, "--minimal_pairs", pairs])
    for script in (evaluate, generate):
        with pytest.raises(UserError, match=f"^{path}: is an encoder_decoder, and only models of"):
            script.main([path, path])


@pytest.mark.slow
def test_a_process_scores_pairs_and_ends_with_status_2_at_a_bad_line(run, finished, tmp_path):
    (tmp_path / "pairs.tsv").write_text(PAIRS, encoding="utf-8")
    path = tmp_path / "pairs.tsv"
    flags = ("evaluate.py", finished.folder, "--minimal_pairs", path)
    result = run(*flags, cwd=finished.home, python=("-W", "error"))
    assert result.returncode == 0, result.stderr
    assert "(4 pairs)" in result.stdout
    for content, message in ((b"one\n", "1: has 1 column"), (b"a\tb\n\xff\tb\n", "2: not UTF-8")):
        path.write_bytes(content)
        result = run(*flags, cwd=finished.home)
        assert result.returncode == 2
        assert result.stdout == ""
        assert result.stderr.startswith(f"error: {path}:{message}")
        assert result.stderr.count("\n") == 1
